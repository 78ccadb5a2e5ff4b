"""Freed memory stays with the process: asked of a real one, in what it holds, not in seconds."""

import ctypes
import subprocess
import sys

import pytest

from lll.learn.memory import keep_freed_memory

PROGRAM = """
import re, sys
from pathlib import Path
import lll.learn.memory
kept = lll.learn.memory.keep_freed_memory() if sys.argv[1] == "keep" else None
import torch
def held():
    return int(re.search(r"RssAnon:\\s+(\\d+) kB", Path("/proc/self/status").read_text())[1])
torch.ones(8)
before = held()
torch.ones(32 * 2**20)  # 128 MiB: more than glibc ever keeps by itself
print(kept, held() - before)
"""
MIB = 2**10  # kB


def held_after(how: str) -> tuple[str, int]:
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, how], capture_output=True, text=True, check=True
    )
    kept, kilobytes = done.stdout.split()
    return kept, int(kilobytes)


@pytest.mark.skipif(sys.platform != "linux", reason="glibc's allocator")
def test_memory_that_is_freed_is_kept() -> None:
    kept, much = held_after("keep")
    if kept == "False":
        pytest.skip("not glibc's allocator")
    _, little = held_after("plain")
    assert much > 120 * MIB
    assert little < 20 * MIB


def test_without_mallopt_nothing_changes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ctypes, "CDLL", lambda name: object())
    monkeypatch.setenv("THP_MEM_ALLOC_ENABLE", "0")
    assert not keep_freed_memory()
