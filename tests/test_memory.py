"""Freed memory stays with the process: asked of a real one, in page faults, not in seconds."""

import subprocess
import sys

import pytest

PROGRAM = """
import resource, sys
import lll.memory
kept = lll.memory.keep_freed_memory() if sys.argv[1] == "keep" else None
import torch
def fill():
    torch.ones(16 * 2**20)  # 64 MiB: more than glibc ever keeps by itself
fill()
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
for _ in range(10):
    fill()
print(kept, resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""


def faults(how: str) -> tuple[str, int]:
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, how], capture_output=True, text=True, check=True
    )
    kept, count = done.stdout.split()
    return kept, int(count)


@pytest.mark.skipif(sys.platform != "linux", reason="glibc's allocator")
def test_memory_that_is_freed_is_not_asked_for_again() -> None:
    kept, few = faults("keep")
    if kept == "False":
        pytest.skip("not glibc's allocator")
    _, many = faults("plain")
    assert few < many / 10


def test_without_mallopt_nothing_changes(monkeypatch: pytest.MonkeyPatch) -> None:
    import ctypes

    from lll.memory import keep_freed_memory

    monkeypatch.setattr(ctypes, "CDLL", lambda name: object())
    monkeypatch.setenv("THP_MEM_ALLOC_ENABLE", "0")
    assert not keep_freed_memory()
