"""`lll label` as a process of its own, and requests to it that need not be a browser's."""

import http.client
import json
import os
import shutil
import subprocess
import sys
import time
import uuid
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from PIL import Image
from tests.processes import ENVIRONMENT, Child, shared_nursery


def write_images(folder: Path, count: int, *, kinds: int = 2) -> Path:
    """PNG files of some plain colours: ``kinds`` of them, in turn."""
    folder.mkdir(parents=True, exist_ok=True)
    colours = [(220, 40, 40), (40, 80, 220), (60, 190, 60), (230, 210, 60)]
    for i in range(count):
        shade = tuple(min(255, part + i % 7) for part in colours[i % kinds])
        Image.new("RGB", (24, 24), shade).save(folder / f"{i:05d}.png")
    return folder


def link_images(folder: Path, count: int) -> Path:
    """As many names of one small image; quick to make."""
    folder.mkdir(parents=True, exist_ok=True)
    first = folder / "0.png"
    Image.new("RGB", (8, 8), (9, 99, 199)).save(first)
    for i in range(1, count):
        os.link(first, folder / f"{i}.png")
    return folder


class Alone:
    """As a `Child`, a `python -m lll` that was not forked."""

    over = False

    def __init__(self, words, out, environment):
        command = [sys.executable, "-m", "lll", *map(str, words)]
        env = ENVIRONMENT | environment
        with out.open("w") as file:
            self._process = subprocess.Popen(command, stdout=file, stderr=file, env=env)
        self.pid = self._process.pid

    def runs(self):
        return self._process.poll() is None

    def kill(self):
        self._process.kill()

    def wait(self):
        self.over = True
        return self._process.wait()


@dataclass
class Served:
    """A running server: its process, folder, address and cookie."""

    child: Child | Alone
    folder: Path
    address: str
    port: int
    cookie: str = ""

    def ask(self, method, path, body=None, **changed):
        """Status and body of an answer; ``changed`` headers, where None leaves one out."""
        headers = {
            "Host": f"127.0.0.1:{self.port}",
            "Cookie": self.cookie,
            "Origin": f"http://127.0.0.1:{self.port}",
            "X-LLL": "1",
            "Content-Type": "application/json",
        } | {name.replace("_", "-"): value for name, value in changed.items()}
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=30)
        try:
            connection.putrequest(method, path, skip_host=True, skip_accept_encoding=True)
            for name, value in headers.items():
                if value is not None:
                    connection.putheader(name, value)
            if method == "GET":  # a server that refuses it closes, and must not find a body then
                connection.endheaders()
            else:
                content = body if isinstance(body, bytes) else json.dumps(body or "").encode()
                connection.putheader("Content-Length", str(len(content)))
                connection.endheaders(content)
            answer = connection.getresponse()
            return answer.status, answer.read(), answer.headers
        finally:
            connection.close()

    @contextmanager
    def stream(self, path):
        """The lines of an answer that goes on."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=30)
        try:
            connection.request("GET", path, headers={"Cookie": self.cookie})
            yield (line.decode() for line in connection.getresponse())
        finally:
            connection.close()

    def get(self, path):
        status, body, _ = self.ask("GET", path)
        assert status == 200, (path, status, body)
        return json.loads(body)

    def act(self, op, images=(), **about):
        """Do as the page does; the answer."""
        act = {"uuid": str(uuid.uuid4()), "op": op, "images": list(images)} | about
        status, body, _ = self.ask("POST", "/api/act", act)
        assert status == 200, body
        return json.loads(body)

    def csv(self):
        return self.ask("GET", "/export/csv")[1].decode().splitlines()

    def summary(self):
        """What the stream of events says first."""
        with self.stream("/api/events") as lines:
            first = next(line for line in lines if line.startswith("data: "))
        return json.loads(first[6:])

    def kill(self):
        if not self.child.over:
            self.child.kill()
            self.child.wait()


def start(folder: Path, cache: Path, *flags: str, **environment: str) -> Served:
    """The server of ``folder``, once it can be opened; AssertionError with what it said if not."""
    cache.mkdir(parents=True, exist_ok=True)
    said = cache / "said.txt"
    said.write_text("")  # not what an earlier one said
    words = ("label", folder, "--no-browser", *flags)
    if environment:  # which a new Python alone reads
        child = Alone(words, said, {"LLL_CACHE": str(cache)} | environment)
    else:
        how = {"out": said, "environment": {"LLL_CACHE": str(cache)}}
        child = shared_nursery().start(*words, err=cache / "complained.txt", **how)
    while "open http" not in said.read_text() and child.runs():
        time.sleep(0.02)
    assert child.runs(), child.wait()
    address = said.read_text().split("open ")[1].split()[0]
    served = Served(child, folder, address, urlsplit(address).port)
    try:
        status, _, headers = served.ask("GET", address.split(str(served.port))[1], Cookie=None)
        assert status == 303
        served.cookie = headers["set-cookie"].split(";")[0]
    except BaseException:
        served.kill()
        raise
    return served


@contextmanager
def serving(folder: Path, cache: Path, *flags: str, **environment: str):
    """`start`, and the end of it."""
    served = start(folder, cache, *flags, **environment)
    try:
        yield served
    finally:
        served.kill()
        shutil.rmtree(cache, ignore_errors=True)
