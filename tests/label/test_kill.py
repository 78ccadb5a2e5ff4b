"""A server that is killed at any moment has every answer that it said it had."""

import contextlib
import http.client
import json
import resource
import threading
import time
import uuid

import numpy as np
import pytest
from tests.label.serving import serving, start, write_images

from lll.labels.store import open_store


def answers(count):
    return [
        {
            "uuid": str(uuid.uuid4()),
            "op": "label",
            "images": [i],
            "name": f"c{i % 3}",
            "asked": True,
        }
        for i in range(count)
    ]


def send(served, acts, done):
    """Send in order until the server is gone; ``done`` gets those that it took."""
    with contextlib.suppress(OSError, http.client.HTTPException):
        for act in acts:
            status, _, _ = served.ask("POST", "/api/act", act)
            assert status == 200
            done.append(act["uuid"])


@pytest.mark.parametrize("moments", [2, pytest.param(20, marks=pytest.mark.slow)])
def test_killed_and_sent_again(tmp_path, moments):
    """The page sends what was not answered again, and what was answered but not heard of."""
    folder, cache = write_images(tmp_path / "photos", 60), tmp_path / "cache"
    acts, done, rng = answers(60), [], np.random.default_rng(5)
    for _ in range(moments):
        served = start(folder, cache)
        port = served.port
        left = [act for act in acts if act["uuid"] not in done]
        sender = threading.Thread(target=send, args=(served, left, done))
        sender.start()
        time.sleep(rng.uniform(0, 0.3))
        served.kill()
        sender.join()
        with open_store(folder, write=False) as store:
            kept = {event.uuid.split("/")[0] for event in store.history()}
        assert set(done) <= kept
    with serving(folder, cache, "--port", str(port)) as served:
        send(served, acts, [])  # all of them, the kept ones too
        rows = served.csv()[1:]
        assert sorted(row.split(",")[0] for row in rows) == [f"{i:05d}.png" for i in range(60)]
        assert all(row.split(",")[1] == f"c{int(row[:5]) % 3}" for row in rows)
        page = json.loads(served.ask("GET", "/api/ask")[1])
        assert page is None, "nothing is asked twice"
    with open_store(folder, write=False) as store:
        labels = [event for event in store.history() if event.op == "label"]
        assert len(labels) == 60


def test_a_full_disk_loses_nothing(tmp_path):
    """What cannot be written is refused in a way that makes the page keep it and try again."""
    folder = write_images(tmp_path / "photos", 40)
    with serving(folder, tmp_path / "cache") as served:
        acts = answers(40)
        done = []
        send(served, acts[:2], done)
        limits = resource.prlimit(served.child.pid, resource.RLIMIT_FSIZE)
        wal = folder / ".lll" / "labels.sqlite-wal"
        full = (wal.stat().st_size + 4096, limits[1])
        resource.prlimit(served.child.pid, resource.RLIMIT_FSIZE, full)
        refused = []
        for act in acts[2:]:
            status, body, _ = served.ask("POST", "/api/act", act)
            if status == 200:
                done.append(act["uuid"])
            else:
                assert (status, "\n" in json.loads(body)["error"]) == (507, False)
                refused.append(act)
        assert refused
        assert served.ask("GET", "/")[0] == 200
        resource.prlimit(served.child.pid, resource.RLIMIT_FSIZE, limits)
        send(served, refused, done)
        assert sorted(done) == sorted(act["uuid"] for act in acts)
        assert len(served.csv()) == 41
