"""The one way to write a file: it is there, whole and on disk, or not there."""

from __future__ import annotations

import errno
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from lll.errors import UserError

# EFBIG is what a file-size limit (ulimit -f) answers: to the user it is the same full disk.
_FULL = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}
RESUME = "free some space, then go on with `lll resume`; the last checkpoint is whole"
AGAIN = "free some space, then give the same command again; nothing was changed"


@contextmanager
def says_when_full(path: Path, remedy: str = RESUME) -> Iterator[None]:
    """Turns a full disk, and whatever else keeps ``path`` from being written, into a UserError."""
    try:
        yield
    except OSError as error:
        if error.errno in _FULL:
            raise UserError(f"{path}: the disk is full ({error.strerror}): {remedy}") from error
        raise UserError(
            f"{path}: cannot be written ({error.strerror}): check permissions"
        ) from error


def check_target(path: Path) -> None:
    """UserError if the file ``path`` cannot be made, before the work of minutes."""
    if path.is_dir():
        raise UserError(f"{path}: is a folder: name a file in it")
    if not path.absolute().parent.is_dir():
        raise UserError(f"{path}: its folder does not exist: make it first")


def write_whole(path: Path, content: bytes, remedy: str = AGAIN) -> None:
    """Write ``content`` to a temporary name, flush it to disk, and rename it to ``path``.

    So ``path`` holds the old content or the new one, whatever happens. A link is followed, and
    anything but a regular file (a pipe, /dev/stdout) is written to directly.
    """
    with says_when_full(path, remedy):
        target = path.resolve()
        if target.exists() and not target.is_file():
            target.write_bytes(content)
            return
        temporary = target.with_name(f".{target.name}.{os.getpid()}.tmp")
        try:
            with temporary.open("wb") as file:
                file.write(content)
                file.flush()
                os.fsync(file.fileno())
            if target.exists():
                shutil.copymode(target, temporary)
            temporary.replace(target)
        except BaseException:
            temporary.unlink(missing_ok=True)
            raise
        sync_folder(target.parent)


def write_durably(path: Path, content: bytes) -> None:
    """`write_whole` for a file of a run that is being trained."""
    write_whole(path, content, RESUME)


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
