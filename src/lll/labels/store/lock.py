"""One process at a time writes a store: a lock that ends with the process that holds it."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from lll.errors import UserError
from lll.held import owner, take


@contextmanager
def held(path: Path, folder: Path) -> Iterator[None]:
    """Hold the lock file ``path`` of ``folder``; UserError that names the process that holds it.

    Where the file system has no locks, SQLite's own are left.
    """
    try:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666)
    except OSError as error:
        raise UserError(
            f"{folder}: labels cannot be written ({error.strerror}): check its permissions"
        ) from None
    busy = f"{folder}: {{holder}} writes its labels now: wait until it ends, or stop it first"
    try:
        take(path, descriptor, busy)
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, owner().encode(), 0)
        yield
        os.ftruncate(descriptor, 0)
    finally:
        os.close(descriptor)
