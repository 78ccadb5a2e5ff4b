"""How this process gets its memory: kept when it is freed, in large pages where there are some.

A training step frees and asks again for the same few hundred megabytes of activations. By
default glibc hands each large block back to the system at once, and the system clears every
page of the next: about a third of a step of `convnet` on a CPU (see ``benchmarks/``).
"""

from __future__ import annotations

import ctypes
import os
import resource

from lll.errors import UserError

LEAST = 2**30
"""Bytes of address space with which torch and its companions can be loaded; measured."""
# From glibc's malloc.h.
_M_TRIM_THRESHOLD, _M_MMAP_MAX = -1, -4


def keep_freed_memory() -> bool:
    """Keep freed memory in this process for its next use; False where that is not possible.

    It changes the whole process, so the command line calls it and the library never does; a
    script that trains may call it too. Large pages come only if it is called before torch is
    first used. glibc only: elsewhere nothing changes.
    """
    os.environ.setdefault("THP_MEM_ALLOC_ENABLE", "1")  # read by torch's CPU allocator
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (AttributeError, OSError, TypeError):
        return False
    # -1: never trim. 0: no block, however large, is mapped by itself and unmapped when freed.
    return bool(mallopt(_M_TRIM_THRESHOLD, -1)) and bool(mallopt(_M_MMAP_MAX, 0))


def check_limit() -> None:
    """UserError if the memory limit (ulimit -v) is too low to start.

    Loading torch would end it without a word.
    """
    limit = resource.getrlimit(resource.RLIMIT_AS)[0]
    if limit != resource.RLIM_INFINITY and limit < LEAST:
        raise UserError(
            f"Memory is limited to {limit / 2**20:.0f} MiB (ulimit -v): raise the limit to "
            f"{LEAST / 2**20:.0f} MiB or more"
        )
