"""Ranks that decode small images: the same results, and an end in every case."""

import os
import subprocess
import sys
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from lll.data import decoding as images
from lll.data import worker, workers
from lll.data.decoding import UnreadableError, decode_all
from lll.data.pixels import Pixels
from lll.errors import UserError

COUNT = 1500


@pytest.fixture
def started(monkeypatch):
    """Two processes after the first chunk, whatever the machine; the list of those started."""
    pools = []
    start = workers.start_workers

    def start_workers():
        pools.append(start())
        return pools[-1]

    monkeypatch.setattr(workers, "cores", lambda: 2)
    monkeypatch.setattr(images, "WORKERS_FROM_S", 0.0)
    monkeypatch.setattr(images, "start_workers", start_workers)
    yield pools
    for pool in pools:
        if pool:
            assert all(process.returncode is not None for process in pool.processes)
            assert all(process.stdin.closed and process.stdout.closed for process in pool.processes)


@pytest.fixture(scope="module")
def files(make_image):
    """Small files, some of which are no images and one of which cannot be opened."""

    def denied() -> bytes:
        raise PermissionError(13, "Permission denied")

    contents = [make_image(i % 256, (6 + i % 5, 8)) for i in range(COUNT)]
    readers = [lambda data=data: data for data in contents]
    wide = BytesIO()
    Image.fromarray(np.arange(8 * 24 * 3, dtype=np.uint8).reshape(8, 24, 3)).save(wide, "PNG")
    readers[650] = wide.getvalue
    readers[700] = denied
    for i in range(300, COUNT, 97):
        readers[i] = lambda: b"nothing"
    return [f"{i}.png" for i in range(COUNT)], readers


@pytest.mark.parametrize("resize", ["squash", "crop"])
def test_results_are_those_of_one_process(files, started, monkeypatch, resize):
    out, kept, skipped = decode_all(*files, 8, resize)
    assert len(started) == 1
    monkeypatch.setattr(images, "WORKERS_FROM_S", 1e9)
    out_here, kept_here, skipped_here = decode_all(*files, 8, resize)
    assert len(started) == 1
    np.testing.assert_array_equal(out, out_here)
    np.testing.assert_array_equal(kept, kept_here)
    assert skipped == skipped_here
    assert "700.png" in [skip.path for skip in skipped]


def test_large_files_among_small_ones_keep_their_order(files, started, monkeypatch):
    monkeypatch.setattr(images, "CHUNK", 10)
    names, readers = files
    big = np.random.default_rng(0).integers(0, 256, (200, 200, 3), dtype=np.uint8)

    out = BytesIO()
    Image.fromarray(big).save(out, "PNG")
    mixed = [(lambda: out.getvalue()) if i // 10 % 3 == 1 else readers[i] for i in range(200)]
    got = decode_all(names[:200], mixed, 8)
    want = [images.attempt(images.read_one(reader), 8) for reader in mixed]
    np.testing.assert_array_equal(got[0], [w for w in want if not isinstance(w, UnreadableError)])
    assert started


def test_what_a_process_has_no_memory_for_is_decoded_here(files, started, monkeypatch):
    assert worker.answer(UnreadableError("x", passing=True)) == workers.LACKED_MEMORY
    assert worker.answer(UnreadableError("x")) == "x"
    want = decode_all(*files, 8)
    monkeypatch.setattr(
        workers.Workers, "decode", lambda self, names, *_: [workers.LACKED_MEMORY] * len(names)
    )
    got = decode_all(*files, 8)
    for one, other in zip(got, want, strict=True):
        np.testing.assert_array_equal(one, other)


def test_strict_names_the_first_bad_file(files, started):
    with pytest.raises(UserError, match=r"^300\.png cannot be read .*format"):
        decode_all(*files, 8, strict=True)
    assert started


@pytest.mark.parametrize("error", [KeyboardInterrupt, RuntimeError])
def test_nothing_is_left_running_after_an_error(files, started, monkeypatch, error):
    puts = []
    put = Pixels.put

    def harm(self, pixels):
        puts.append(len(pixels))
        if len(puts) == 3:
            raise error
        put(self, pixels)

    monkeypatch.setattr(Pixels, "put", harm)
    with pytest.raises(error):
        decode_all(*files, 8)
    assert started


def test_a_process_that_dies_is_named(files, started):
    names, readers = files
    readers = list(readers)

    def harm() -> bytes:
        for process in started[0].processes:
            process.kill()
            process.wait()
        return b""

    readers[600] = harm
    with pytest.raises(UserError, match=r"decoded \d+\.png to \d+\.png died \(exit code -9\)") as e:
        decode_all(names, readers, 8)
    assert "\n" not in str(e.value)


@pytest.mark.parametrize("python", ["", "/nowhere/python", "/bin/false", "/bin/cat"])
def test_without_processes_it_is_done_here(files, started, monkeypatch, python):
    if python.startswith("/bin") and not Path(python).exists():
        pytest.skip(f"no {python}")
    monkeypatch.setattr(sys, "executable", python)
    out, _, _ = decode_all(*files, 8)
    assert started == [None]
    assert len(out) > 1400


def test_one_core_needs_no_processes(monkeypatch):
    monkeypatch.setattr(workers, "cores", lambda: 1)
    assert workers.start_workers() is None


def test_the_script_of_a_user_runs_once_and_from_any_folder(tmp_path, make_image):
    """No guard, a module in the working folder that hides one of Python's, warnings as errors."""
    for i in range(600):
        path = tmp_path / "data" / "ab"[i % 2] / f"{i}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(make_image(i % 256))
    (tmp_path / "scripts").mkdir()
    script = tmp_path / "scripts" / "mine.py"
    script.write_text(
        "print('begin')\n"
        "from lll.data import decoding as images, load_data, workers\n"
        "images.WORKERS_FROM_S = 0\n"
        "workers.cores = lambda: 2\n"
        "start = workers.start_workers\n"
        "def started():\n"
        "    pool = start()\n"
        "    print('processes', len(pool.processes))\n"
        "    return pool\n"
        "images.start_workers = started\n"
        "print(len(load_data('data', image_size=8).train))\n"
    )
    (tmp_path / "signal.py").write_text("raise ImportError('not this one')\n")
    done = subprocess.run(
        [sys.executable, "-W", "error", str(script)],
        cwd=tmp_path,
        env={**os.environ, "PYTHONWARNINGS": "error"},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert (done.stdout, done.stderr) == ("begin\nprocesses 2\n480\n", "")
