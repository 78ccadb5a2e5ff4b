"""Files that are either there, whole and on disk, or not there."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from lll.errors import UserError

# EFBIG is what a file-size limit (ulimit -f) answers: to the user it is the same full disk.
_FULL = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}


@contextmanager
def says_when_full(path: Path) -> Iterator[None]:
    """Turns a full disk, and whatever else keeps ``path`` from being written, into a UserError."""
    try:
        yield
    except OSError as error:
        if error.errno in _FULL:
            raise UserError(
                f"{path}: the disk is full ({error.strerror}): free some space, then go on "
                "with `lll resume`; the last checkpoint is whole"
            ) from error
        raise UserError(f"{path}: cannot be written ({error.strerror})") from error


def write_durably(path: Path, content: bytes) -> None:
    """Write ``content`` to a temporary name, flush it to disk, and rename it to ``path``."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    with says_when_full(path):
        try:
            with temporary.open("wb") as file:
                file.write(content)
                file.flush()
                os.fsync(file.fileno())
            temporary.replace(path)
        except BaseException:
            temporary.unlink(missing_ok=True)
            raise
        sync_folder(path.parent)


def append_durably(path: Path, content: bytes) -> None:
    """Append ``content`` to ``path`` and flush it to disk."""
    with says_when_full(path), path.open("ab") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())


def sync_folder(folder: Path) -> None:
    """Flush a folder's entries, so that a rename inside it survives a power cut."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
