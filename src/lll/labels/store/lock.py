"""One process at a time writes a store: a lock that ends with the process that holds it.

It is an exclusive `flock` on a file that says whose it is; the system frees it when the process
ends, however it ends.
"""

from __future__ import annotations

import errno
import fcntl
import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from lll.errors import UserError

# What file systems without locks answer; SQLite's own locks are left there.
_NO_LOCKS = {errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP, errno.ENOTSUP, errno.EINVAL}


@contextmanager
def held(path: Path, folder: Path) -> Iterator[None]:
    """Hold the lock file ``path`` of ``folder``; UserError that names the process that holds it."""
    try:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666)
    except OSError as error:
        raise UserError(
            f"{folder}: labels cannot be written ({error.strerror}): check its permissions"
        ) from None
    try:
        _take(descriptor, folder)
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, f"{os.getpid()} {socket.gethostname()}\n".encode(), 0)
        yield
        os.ftruncate(descriptor, 0)
    finally:
        os.close(descriptor)


def _take(descriptor: int, folder: Path) -> None:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        who = os.pread(descriptor, 300, 0).decode(errors="replace").split()
        name = f"process {who[0]} on {who[1]}" if len(who) == 2 else "another process"
        raise UserError(
            f"{folder}: {name} writes its labels now: wait until it ends, or stop it first"
        ) from None
    except OSError as error:
        if error.errno not in _NO_LOCKS:
            raise UserError(f"{path_of(descriptor)}: cannot be locked ({error.strerror})") from None


def path_of(descriptor: int) -> str:
    """What the open file is called, where the system says so."""
    try:
        return os.readlink(f"/proc/self/fd/{descriptor}")  # noqa: PTH115 - a string
    except OSError:
        return "the lock file"
