"""A zip read member by member in memory: nothing is ever extracted to disk."""

from __future__ import annotations

import re
import stat
import zipfile
import zlib
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path, PurePosixPath

from lll.data.budgets import MAX_MEMBERS, MAX_ZIP_BYTES, check_unpacked
from lll.data.decoding import MAX_FILE_BYTES, UnreadableError
from lll.data.files import Files, make_files
from lll.data.paths import as_text
from lll.data.walk import HIDDEN, SPECIAL, Entry, Read, is_hidden
from lll.errors import UserError
from lll.words import size

# The only methods whose decompression zipfile bounds; the others are rare in practice.
LINK = "a link in a zip, which is not followed"
METHODS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)


@contextmanager
def open_zip(path: Path) -> Iterator[Files]:
    """The files of a zip, readable until the context ends.

    What is passed over in a folder is passed over here. Raises UserError for a damaged or
    encrypted zip, for paths that leave the archive, and for more
    members, bytes or compression than the limits.
    """
    try:
        archive = zipfile.ZipFile(path)
    except (zipfile.BadZipFile, OSError, ValueError, NotImplementedError) as error:
        raise UserError(f"{path} is not a readable zip: {error}: make it again") from error
    with archive:
        members = archive.infolist()
        _check_limits(members, path)
        for member in members:
            _check_member(member, path)
        entries = [_entry(archive, member) for member in members]
        for name, count in Counter(e.path for e in entries if e.read).most_common(1):
            if count > 1:
                raise UserError(f"{path} holds {name!r} {count} times: make the zip again")
        yield make_files(as_text(str(path)), {entry.path: entry for entry in entries}.values())


def _check_limits(members: Sequence[zipfile.ZipInfo], path: Path) -> None:
    if len(members) > MAX_MEMBERS:
        raise UserError(f"{path} has {len(members)} members, more than {MAX_MEMBERS}: unpack it")
    unpacked = sum(member.file_size for member in members)
    # Members may lie on one another.
    packed = min(sum(member.compress_size for member in members), path.stat().st_size)
    check_unpacked(unpacked, packed, MAX_ZIP_BYTES, path, "unpack it yourself if you trust it")


def _check_member(member: zipfile.ZipInfo, path: Path) -> None:
    name = member.orig_filename  # zipfile cuts ``filename`` at a NUL
    parts = PurePosixPath(name).parts
    if "\\" in name or "\0" in name or re.match(r"[A-Za-z]:", name):
        raise UserError(
            f"{path}: member {name!r} is not a plain path: make the zip again, with '/' between"
            " folders"
        )
    if name.startswith("/") or ".." in parts or not parts:
        raise UserError(
            f"{path}: member {name!r} points outside the archive: do not trust this zip"
        )
    if member.flag_bits & 0x1:
        raise UserError(f"{path}: member {name!r} is encrypted: make the zip without a password")
    if member.compress_type not in METHODS:
        raise UserError(
            f"{path}: member {name!r} uses compression method {member.compress_type}:"
            " make the zip with the usual one, deflate"
        )


def _entry(archive: zipfile.ZipFile, member: zipfile.ZipInfo) -> Entry:
    parts = PurePosixPath(_name(member)).parts
    for depth, part in enumerate(parts, 1):
        if is_hidden(part):
            return Entry("/".join(parts[:depth]), reason=HIDDEN)
    path = "/".join(parts)
    kind = stat.S_IFMT(member.external_attr >> 16)
    if kind == stat.S_IFLNK:
        return Entry(path, reason=LINK)
    if kind not in (0, stat.S_IFREG, stat.S_IFDIR):
        return Entry(path, reason=SPECIAL)
    if member.is_dir():
        return Entry(path, folder=True)
    return Entry(path, read=_reader(archive, member))


def _name(member: zipfile.ZipInfo) -> str:
    """The member's name; macOS writes UTF-8 without the mark that says so."""
    if member.flag_bits & 0x800:
        return member.filename
    try:
        return member.filename.encode("cp437").decode()
    except ValueError:
        return member.filename


def _reader(archive: zipfile.ZipFile, member: zipfile.ZipInfo) -> Read:
    def read(most: int = -1, /) -> bytes:
        if most < 0 and member.file_size > MAX_FILE_BYTES:
            raise UnreadableError(f"larger than {size(MAX_FILE_BYTES)}")
        try:
            with archive.open(member) as stream:
                # An explicit count bounds the memory even where the declared size lies.
                return stream.read(member.file_size + 1 if most < 0 else most)
        # ValueError for a name that is not UTF-8, RuntimeError for a flag of encryption.
        except (zipfile.BadZipFile, zlib.error, EOFError, ValueError, RuntimeError) as error:
            raise UnreadableError("damaged in the zip") from error

    return read
