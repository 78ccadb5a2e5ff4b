"""The images of a folder: numbered by path, read from their files, shown re-encoded."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING

from lll.data.cache import identity
from lll.data.decoding import Reader, UnreadableError, decode_to, read_one, rgb
from lll.data.files import image_reader
from lll.data.walk import Entry, walk
from lll.errors import UserError

if TYPE_CHECKING:
    from PIL import Image

SIDES: Mapping[str, int] = {"thumb": 192, "full": 1280}
"""The sizes that are shown, by name: pixels of the longer side at most."""
QUALITY = 88


@dataclass(frozen=True)
class Photo:
    """An image file: its ``path`` in the folder as text, its ``place`` on the disk, its state.

    ``stamp`` is another as soon as the file is written to; ``size`` is in bytes, ``changed`` when
    the file was written to, in seconds since 1970. One that is ``gone`` keeps its number.
    """

    path: str
    place: Path
    read: Reader
    stamp: bytes
    size: int = 0
    changed: float = 0.0
    gone: bool = False


@dataclass(frozen=True)
class Gallery:
    """The images of ``folder``; image i is ``photos[i]``, and ``at`` finds i by path.

    Those that are gone are not found.
    """

    folder: Path
    photos: tuple[Photo, ...]

    @cached_property
    def at(self) -> Mapping[str, int]:
        """The numbers of the images by path."""
        return {photo.path: i for i, photo in enumerate(self.photos) if not photo.gone}

    def __len__(self) -> int:
        return len(self.photos)

    def picture(self, number: int, size: str) -> bytes:
        """Image ``number`` as a JPEG of at most `SIDES` pixels; UnreadableError if it is none."""
        content = read_one(self.photos[number].read)
        if isinstance(content, UnreadableError):
            raise content
        assert isinstance(content, bytes)
        return decode_to(content, SIDES[size], _jpeg(SIDES[size]))


def open_gallery(folder: Path) -> Gallery:
    """The images below ``folder``, by path; none is opened. UserError if there is none."""
    if not folder.is_dir():
        raise UserError(f"{folder}: is not a folder: name the folder that holds the images")
    photos = _photos(folder)
    if not photos:
        raise UserError(f"{folder}: there is no image file in it: add some, or check the path")
    return Gallery(folder, tuple(photos))


def looked_through(gallery: Gallery) -> Gallery:
    """``gallery`` as its folder is now: numbers stay, new images follow; itself if nothing is new.

    UserError where the folder cannot be read.
    """
    now = {photo.path: photo for photo in _photos(gallery.folder)}
    gone = {p.path: replace(p, gone=True, stamp=b"") for p in gallery.photos if p.path not in now}
    same = [gone.get(p.path) or now.pop(p.path) for p in gallery.photos]
    photos = (*same, *now.values())
    if [photo.stamp for photo in photos] == [photo.stamp for photo in gallery.photos]:
        return gallery
    return Gallery(gallery.folder, photos)


def _photos(folder: Path) -> list[Photo]:
    return [photo for entry in walk(folder) if (photo := _photo(entry))]


def _photo(entry: Entry) -> Photo | None:
    if entry.folder:
        return None
    reader, _ = image_reader(entry)
    if reader is None:
        return None
    assert entry.status is not None  # as of all that is on the disk
    known = identity(entry.status)
    stamp = hashlib.blake2b(f"{entry.place}\0{known}".encode(errors="surrogateescape"))
    return Photo(
        entry.path,
        Path(entry.place),
        reader,
        stamp.digest()[:16],
        entry.status.st_size,
        entry.status.st_ctime,
    )


def _jpeg(side: int) -> Callable[[Image.Image], bytes]:
    def made(image: Image.Image) -> bytes:
        small = rgb(image).copy()
        small.thumbnail((side, side))
        file = BytesIO()
        small.save(file, "JPEG", quality=QUALITY)
        return file.getvalue()

    return made
