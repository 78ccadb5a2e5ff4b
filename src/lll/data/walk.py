"""The one walk over folders: what is in them, and what is passed over and why.

Hidden entries and those that systems leave behind are passed over. Links are followed, and each
real folder is read once: under its own name if it is in the tree, else under that of the first
link. Only regular files are read, up to `MAX_FILE_BYTES`.
"""

from __future__ import annotations

import errno
import heapq
import os
import stat
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Protocol

from lll.data.decoding import MAX_FILE_BYTES, UnreadableError
from lll.data.paths import as_text
from lll.errors import UserError
from lll.words import size

JUNK = frozenset(
    {
        *("__macosx", "thumbs.db", "ehthumbs.db", "desktop.ini", "$recycle.bin", "@eadir"),
        *("system volume information", "lost+found"),
    }
)
HOME = ".lll"  # what `lll` keeps in a folder of images, such as its labels
HIDDEN = "hidden or left by the system"
SPECIAL = "a pipe, socket or device, not a file"
NOWHERE = "a link to nothing"
ITSELF = "a link to itself"
AGAIN = "a link to a folder that is read already"


class Read(Protocol):
    """Reads a file: all of it, or the first ``most`` bytes."""

    def __call__(self, most: int = -1, /) -> bytes:
        """The bytes; UnreadableError where the file itself is at fault, else OSError."""


@dataclass(frozen=True, slots=True)
class Entry:
    """A file or folder of a tree, whose POSIX ``path`` in it is well-formed text.

    ``reason`` says why it is passed over, "" if it is not. ``read`` is that of a file that is
    not passed over. ``place`` and ``status`` are those on the disk, if it is there.
    """

    path: str
    folder: bool = False
    reason: str = ""
    read: Read | None = None
    place: str = ""
    status: os.stat_result | None = None


def is_hidden(name: str) -> bool:
    """Whether the file or folder called ``name`` is ignored, whatever it contains."""
    return name.startswith(".") or name.casefold() in JUNK


def walk(root: Path) -> list[Entry]:
    """All that is below ``root``, by path; UserError for a folder that cannot be read."""
    # A link to a folder that holds this one would bring in all that is beside it.
    seen = set(_above(root))
    start = len(os.path.join(root, ""))  # noqa: PTH118 - a string
    found: list[Entry] = []
    folders = [Entry("", folder=True, place=os.fspath(root), status=_status(root))]
    links: list[tuple[str, Entry]] = []
    while folders or links:
        folder = folders.pop() if folders else heapq.heappop(links)[1]
        assert folder.status is not None
        if _identity(folder.status) in seen:
            found.append(Entry(folder.path, reason=AGAIN))
            continue
        seen.add(_identity(folder.status))
        found.append(folder)
        for entry, is_link in _inside(folder, start):
            if not entry.folder:
                found.append(entry)
            elif is_link:
                heapq.heappush(links, (entry.path, entry))
            else:
                folders.append(entry)
    return sorted(found, key=lambda entry: entry.path)[1:]


def _above(root: Path) -> Iterable[tuple[int, int]]:
    for folder in root.resolve().parents:
        with suppress(OSError):  # one that may not be looked at cannot be linked to either
            yield _identity(folder.stat())


def _identity(status: os.stat_result) -> tuple[int, int]:
    return status.st_dev, status.st_ino


def _status(root: Path) -> os.stat_result:
    try:
        return root.stat()
    except OSError as error:
        raise _unreadable(os.fspath(root), error) from error


def _unreadable(place: str, error: OSError) -> UserError:
    return UserError(f"{as_text(place)} cannot be read: {error.strerror}: check its permissions")


def _inside(folder: Entry, start: int) -> Iterable[tuple[Entry, bool]]:
    """The entries of ``folder``, and whether each is a link; names begin at ``start``."""
    try:
        with os.scandir(folder.place) as scan:
            entries = list(scan)
    except OSError as error:
        raise _unreadable(folder.place, error) from error
    for entry in entries:
        if entry.name == HOME:  # our own
            continue
        path = as_text(entry.path[start:].replace(os.sep, "/"))
        yield _entry(path, entry), entry.is_symlink()


def _entry(path: str, found: os.DirEntry[str]) -> Entry:
    if is_hidden(found.name):
        return Entry(path, reason=HIDDEN, place=found.path)
    try:
        status = found.stat()
    except OSError as error:
        known = {errno.ELOOP: ITSELF, errno.ENOENT: NOWHERE}
        reason = known.get(error.errno or 0, f"cannot be looked at: {error.strerror}")
        return Entry(path, reason=reason, place=found.path)
    if stat.S_ISDIR(status.st_mode):
        return Entry(path, folder=True, place=found.path, status=status)
    if not stat.S_ISREG(status.st_mode):
        return Entry(path, reason=SPECIAL, place=found.path)
    return Entry(path, read=partial(read_file, found.path), place=found.path, status=status)


def read_file(place: str, most: int = -1, /) -> bytes:
    """All of a regular file, or its first ``most`` bytes.

    Raises UnreadableError if it is not a regular file, or too large; else OSError.
    """
    status = os.stat(place)  # noqa: PTH116 - half the cost of a path, 1M files
    if not stat.S_ISREG(status.st_mode):
        raise UnreadableError(SPECIAL)
    if most < 0 and status.st_size > MAX_FILE_BYTES:
        raise UnreadableError(f"larger than {size(MAX_FILE_BYTES)}")
    with open(place, "rb") as file:  # noqa: PTH123 - the same
        return file.read(-1 if status.st_size <= most else most)  # Python makes room for all of it
