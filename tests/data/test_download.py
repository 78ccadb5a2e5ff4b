"""CIFAR archives: fetched from a server of this test, checked, cached and read."""

import dataclasses
import hashlib
import io
import os
import socket
import stat
import tarfile
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np
import pytest

from lll.data import describe, download
from lll.data.assemble import Options
from lll.data.sources import cifar
from lll.data.sources.cifar import Archive, Member, fetch_archive, load_archive
from lll.errors import UserError

NAMES = ("cat", "dog", "eel")
MEMBERS = (
    Member("bin/one.bin", "train", 6),
    Member("bin/two.bin", "train", 3),
    Member("bin/t.bin", "test", 4),
)


def records(member: Member, label_bytes: int) -> bytes:
    """Rows whose red plane counts up by columns, with labels 0, 1, 2, 0 ..."""
    rows = []
    for i in range(member.records):
        planes = np.zeros((3, 32, 32), dtype=np.uint8)
        planes[0] = np.arange(32)
        planes[1] = np.arange(32)[:, None]
        planes[2] = i
        rows.append(bytes([99] * (label_bytes - 1) + [i % 3]) + planes.tobytes())
    return b"".join(rows)


def tar_gz(contents: dict[str, bytes], specials: tuple[tarfile.TarInfo, ...] = ()) -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w:gz") as tar:
        for name, data in contents.items():
            info = tarfile.TarInfo(name)
            info.size = len(data)
            tar.addfile(info, io.BytesIO(data))
        for info in specials:
            tar.addfile(info)
    return out.getvalue()


def make_contents(label_bytes: int = 1) -> dict[str, bytes]:
    names = ("\n".join(NAMES) + "\n\n").encode()
    binary = {member.path: records(member, label_bytes) for member in MEMBERS}
    return {"bin/readme.html": b"hello", "bin/names.txt": names, **binary}


BODY = tar_gz(make_contents())


class Server:
    """Serves what ``answers`` say, one after another, the last one for good.

    An answer is (body, declared length: None for the true one, 0 for none).
    """

    def __init__(self) -> None:
        self.answers: list[tuple[bytes, int | None]] = [(BODY, None)]
        self.requests = 0
        self.pause_s = 0.0  # after every ten bytes
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                outer.requests += 1
                body, length = outer.answers[min(outer.requests, len(outer.answers)) - 1]
                if not body:
                    self.send_error(404)
                    return
                self.send_response(200)
                if length != 0:
                    self.send_header("Content-Length", str(length or len(body)))
                self.end_headers()
                step = 10 if outer.pause_s else len(body)
                with suppress(OSError):  # cut
                    for start in range(0, len(body), step):
                        self.wfile.write(body[start : start + step])
                        time.sleep(outer.pause_s)

            def log_message(self, *_: object) -> None:
                pass

        self.http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.http.server_port}/tiny.tar.gz"

    def __enter__(self) -> "Server":
        self.thread = threading.Thread(target=self.http.serve_forever, args=(0.01,))
        self.thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.http.shutdown()
        self.thread.join()
        self.http.server_close()


@pytest.fixture
def server(monkeypatch):
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)
    with Server() as running:
        yield running


def archive_at(url: str, body: bytes = BODY, **changes) -> Archive:
    archive = Archive("tiny", url, hashlib.sha256(body).hexdigest(), "bin/names.txt", MEMBERS)
    return dataclasses.replace(archive, **changes)


def stored(tmp_path, body: bytes, **changes) -> Archive:
    """An archive that is already in the cache."""
    (tmp_path / "tiny.tar.gz").write_bytes(body)
    return archive_at("http://127.0.0.1:1/tiny.tar.gz", body, **changes)


def shown(folder: Path) -> list[str]:
    """What is in a cache folder, but for the lock."""
    return [path.name for path in folder.iterdir() if path.name != ".tiny.tar.gz.lock"]


def test_fetched_once_and_read(server, tmp_path):
    archive = archive_at(server.url)
    data = load_archive(archive, Options(), tmp_path / "cache")
    assert data.class_names == NAMES
    assert data.train.ids.tolist() == [f"tiny/train/{i:05d}" for i in range(9)]
    assert data.test.ids.tolist() == [f"tiny/test/{i:05d}" for i in range(4)]
    assert data.train.labels.tolist() == [0, 1, 2, 0, 1, 2, 0, 1, 2]
    assert data.train.images.dtype == np.uint8
    assert data.train.images[7, 5, 20].tolist() == [20, 5, 1]  # column, row, record
    assert server.requests == 1
    again = load_archive(archive, Options(), tmp_path / "cache")
    assert server.requests == 1
    np.testing.assert_array_equal(again.train.images, data.train.images)
    assert shown(tmp_path / "cache") == ["tiny.tar.gz"]
    assert describe(again)["test"] == 4


def test_the_second_label_byte_can_be_the_one(tmp_path):
    archive = stored(tmp_path, tar_gz(make_contents(2)), label_bytes=2, label_at=1)
    assert load_archive(archive, Options(), tmp_path).test.labels.tolist() == [0, 1, 2, 0]


def test_resized_on_demand(tmp_path):
    data = load_archive(stored(tmp_path, BODY), Options(image_size=16), tmp_path)
    assert data.train.images.shape == (9, 16, 16, 3)


def test_progress_ends_at_the_total(server, tmp_path):
    calls = []
    fetch_archive(archive_at(server.url), tmp_path, lambda done, total: calls.append((done, total)))
    assert calls[-1] == (len(BODY), len(BODY))
    assert all(done <= total for done, total in calls)


def test_the_default_cache_is_looked_up_when_called(server, tmp_path, monkeypatch):
    import pooch

    monkeypatch.setattr(pooch, "os_cache", lambda project: tmp_path / project)
    assert fetch_archive(archive_at(server.url)) == tmp_path / "lll" / "tiny.tar.gz"


@pytest.mark.parametrize(
    ("answer", "message"),
    [
        ((BODY[: len(BODY) // 2], len(BODY)), "could not be fetched"),  # the connection breaks
        ((BODY[: len(BODY) // 2], None), "wrong checksum"),  # cut cleanly
        ((BODY + b"x", None), "wrong checksum"),
        ((b"", None), "could not be fetched"),  # 404
    ],
)
def test_a_bad_download_leaves_nothing_and_the_next_starts_clean(server, tmp_path, answer, message):
    server.answers = [answer, (BODY, None)]
    archive = archive_at(server.url)
    with pytest.raises(UserError, match=message) as error:
        load_archive(archive, Options(), tmp_path)
    assert server.url in str(error.value)
    assert "fetched again" in str(error.value)
    assert "\n" not in str(error.value)
    assert shown(tmp_path) == []
    assert len(load_archive(archive, Options(), tmp_path).train) == 9
    assert server.requests == 2


@pytest.mark.parametrize("bad", [b"", b"rubbish", BODY[:-1]])
def test_a_bad_cached_file_is_fetched_anew(server, tmp_path, bad):
    (tmp_path / "tiny.tar.gz").write_bytes(bad)
    assert fetch_archive(archive_at(server.url), tmp_path).read_bytes() == BODY
    assert server.requests == 1


def test_an_endless_answer_is_cut(server, tmp_path, monkeypatch):
    monkeypatch.setattr(download, "MAX_BYTES", 200_000)
    for length in (None, 0):  # one that says its length, and one that sends until it is cut
        server.answers = [(bytes(2_000_000), length)]
        with pytest.raises(UserError, match=r"fetched \(it is larger than 200000 bytes\)"):
            fetch_archive(archive_at(server.url), tmp_path)
        assert shown(tmp_path) == []


def test_a_trickle_is_cut(server, tmp_path, monkeypatch):
    monkeypatch.setattr(download, "MAX_S", 0.3)
    server.pause_s = 0.05
    with pytest.raises(UserError, match=r"fetched \(it took more than 0\.3 s\)"):
        fetch_archive(archive_at(server.url), tmp_path)
    assert shown(tmp_path) == []


def test_what_a_killed_download_left_is_cleared_away(server, tmp_path):
    (tmp_path / ".tiny.tar.gz.part").write_bytes(b"x" * 10**6)
    fetch_archive(archive_at(server.url), tmp_path)
    assert shown(tmp_path) == ["tiny.tar.gz"]


def test_of_two_at_once_one_fetches(server, tmp_path):
    with ThreadPoolExecutor(2) as both:
        paths = list(both.map(fetch_archive, [archive_at(server.url)] * 2, [tmp_path] * 2))
    assert server.requests == 1
    assert [path.read_bytes() for path in paths] == [BODY, BODY]


def test_the_umask_says_who_may_read_it(server, tmp_path):
    before = os.umask(0o027)
    try:
        path = fetch_archive(archive_at(server.url), tmp_path / "cache")
    finally:
        os.umask(before)
    assert stat.S_IMODE(path.stat().st_mode) == 0o640


def test_without_network_the_remedies_are_named(tmp_path):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    archive = archive_at(f"http://127.0.0.1:{port}/tiny.tar.gz")
    with pytest.raises(UserError, match="use --data digits") as error:
        load_archive(archive, Options(), tmp_path)
    assert str(tmp_path / "tiny.tar.gz") in str(error.value)
    (tmp_path / "tiny.tar.gz").write_bytes(BODY)  # put there by hand
    assert len(load_archive(archive, Options(), tmp_path).train) == 9


def test_a_cache_that_cannot_be_written_is_named(server, tmp_path):
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(UserError, match=r"file cannot be written .*another cache"):
        fetch_archive(archive_at(server.url), tmp_path / "file")


def test_other_members_are_never_touched(tmp_path):
    contents = {"../../evil": b"x", "/etc/evil": b"x", **make_contents()}
    load_archive(stored(tmp_path, tar_gz(contents)), Options(), tmp_path)
    assert [p.name for p in tmp_path.iterdir()] == ["tiny.tar.gz"]


@pytest.mark.parametrize(("archive", "train"), [(cifar.CIFAR10, 50_000), (cifar.CIFAR100, 50_000)])
def test_the_real_archives_are_described_in_full(archive, train):
    assert sum(m.records for m in archive.members if m.split == "train") == train
    assert sum(m.records for m in archive.members if m.split == "test") == 10_000
    assert len(archive.sha256) == 64
    assert archive.file_name.endswith("-binary.tar.gz")
