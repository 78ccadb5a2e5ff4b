"""Ranks that decode small images: threads do not help there, as Python runs one at a time.

Each runs ``python -m lll.data.worker`` and is spoken to through its pipes. They are started
anew and not forked, so nothing of this process (its threads, its ``__main__``) is in them.
"""

from __future__ import annotations

import os
import queue
import subprocess
import sys
from collections.abc import Sequence
from contextlib import suppress
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray

from lll.errors import UserError

READY = b"+"
GOOD = -1  # in place of the length of a reason
LACKED_MEMORY = ""  # in place of a reason
MOST = 8  # reading the files, which one process does, keeps about as many busy

Result = NDArray[np.uint8] | str


class Workers:
    """A pool of processes, each of which decodes one batch of files at a time."""

    def __init__(self, processes: Sequence[subprocess.Popen[bytes]]) -> None:
        self.processes = processes
        self._idle: queue.SimpleQueue[subprocess.Popen[bytes]] = queue.SimpleQueue()
        for process in processes:
            self._idle.put(process)

    def decode(
        self, names: Sequence[str], files: Sequence[bytes], size: int, resize: str
    ) -> list[Result]:
        """Images uint8 [size, size, 3] in ``files``, or why not; waits for a free process.

        ``names`` of the files are for the UserError if the process dies. ``resize`` as in
        `lll.data.decoding.decode`.
        """
        process = self._idle.get()
        try:
            requests, answers = _pipes(process)
            _send_request(requests, files, size, resize)
            return _receive_results(answers, len(files), size)
        except (OSError, EOFError) as error:
            code = process.wait()
            raise UserError(
                f"the process that decoded {names[0]} to {names[-1]} died (exit code {code}):"
                " free some memory, or remove the image that caused it"
            ) from error
        finally:
            self._idle.put(process)

    def close(self) -> None:
        """End the processes, whatever they are at."""
        for process in self.processes:
            process.kill()
        for process in self.processes:
            process.wait()
            for pipe in _pipes(process):
                with suppress(OSError):  # what was not yet sent
                    pipe.close()


def start_workers() -> Workers | None:
    """One process for each core this one may use; None for one core, or if they do not start."""
    count = min(MOST, cores())
    if count < 2 or not sys.executable or getattr(sys, "frozen", False):
        return None
    path = os.pathsep.join(entry or os.getcwd() for entry in sys.path)  # noqa: PTH109 - a string
    processes: list[subprocess.Popen[bytes]] = []
    workers = Workers(processes)
    try:
        for _ in range(count):
            processes.append(
                subprocess.Popen(
                    # -P: the folder that this happens to be in holds no modules of ours.
                    [sys.executable, "-P", "-m", "lll.data.worker"],
                    stdin=subprocess.PIPE,
                    stdout=subprocess.PIPE,
                    stderr=subprocess.DEVNULL,
                    env={**os.environ, "PYTHONPATH": path},
                )
            )
        ready = all(_pipes(process)[1].read(1) == READY for process in processes)
    except OSError:
        ready = False
    except BaseException:
        workers.close()
        raise
    if not ready:
        workers.close()
        return None
    return Workers(processes)


def cores() -> int:
    """How many cores this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _pipes(process: subprocess.Popen[bytes]) -> tuple[IO[bytes], IO[bytes]]:
    """What goes to the process, and what comes from it."""
    assert process.stdin is not None and process.stdout is not None
    return process.stdin, process.stdout


def _send_request(stream: IO[bytes], files: Sequence[bytes], size: int, resize: str) -> None:
    """Count and size of the images, the lengths of ``resize`` and of each file, and these."""
    parts = [resize.encode(), *files]
    stream.write(np.array([len(files), size, *map(len, parts)], dtype=np.int64).tobytes())
    stream.writelines(parts)
    stream.flush()


def receive_request(stream: IO[bytes]) -> tuple[list[bytes], int, str] | None:
    """The files of the next request, the size and the resize; None when there is no more."""
    try:
        count, size = _numbers(stream, 2)
    except EOFError:
        return None
    resize, *files = [_exactly(stream, length) for length in _numbers(stream, 1 + count)]
    return files, size, resize.decode()


def send_results(stream: IO[bytes], results: Sequence[Result]) -> None:
    """For each image GOOD or the length of the reason why not; then images and reasons."""
    parts = [r.encode() if isinstance(r, str) else np.ascontiguousarray(r).data for r in results]
    lengths = [len(p) if isinstance(p, bytes) else GOOD for p in parts]
    stream.write(np.array(lengths, dtype=np.int64).tobytes())
    stream.writelines(parts)
    stream.flush()


def _receive_results(stream: IO[bytes], count: int, size: int) -> list[Result]:
    results: list[Result] = []
    for length in _numbers(stream, count):
        if length == GOOD:
            pixels: NDArray[Any] = np.frombuffer(_exactly(stream, size * size * 3), dtype=np.uint8)
            results.append(pixels.reshape(size, size, 3))
        else:
            results.append(_exactly(stream, length).decode())
    return results


def _numbers(stream: IO[bytes], count: int) -> list[int]:
    numbers: list[int] = np.frombuffer(_exactly(stream, 8 * count), dtype=np.int64).tolist()
    return numbers


def _exactly(stream: IO[bytes], count: int) -> bytes:
    data = stream.read(count)
    if len(data) < count:
        raise EOFError("the other side is gone")
    return data
