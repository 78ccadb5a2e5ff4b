"""A tree of files as names and readers, so that a folder and a zip are read by the same code."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path, PurePosixPath

import numpy as np

from lll.data.assemble import Options, assemble, encode, id_array
from lll.data.cache import state_of
from lll.data.decoding import Reader, UnreadableError
from lll.data.formats import (
    HEAD_BYTES,
    SUFFIXES,
    foreign_reason,
    is_image,
    starts_as_image,
    suffix_of,
)
from lll.data.imageset import DataSet, Skipped, Unused
from lll.data.layout import split_of
from lll.data.paths import as_text, real_path
from lll.data.walk import HIDDEN, Entry, Read, read_file, walk
from lll.errors import UserError

METADATA = "metadata.jsonl"  # as on the Hugging Face hub; any other .jsonl may be a log


@dataclass(frozen=True)
class Files:
    """Files by their POSIX path inside ``where`` (the folder or zip, for messages).

    ``images`` and ``tables`` of labels map a path to its reader, in sorted order; ``folders``
    holds every sub-folder, empty ones too. ``parquets`` map a path to its place on the disk,
    "" in a zip. ``unused`` counts all other files.
    """

    where: str
    images: Mapping[str, Reader]
    tables: Mapping[str, Read]
    folders: frozenset[str]
    parquets: Mapping[str, str] = field(default_factory=dict)
    unused: tuple[Unused, ...] = ()


@dataclass(frozen=True)
class Item:
    """One image of a tree: its path, class name ("" unlabelled) and split ("" not said)."""

    path: str
    label: str
    split: str = ""


def is_table(path: str) -> bool:
    """Whether ``path`` may be a table of labels."""
    return suffix_of(path) == ".csv" or path.rsplit("/", 1)[-1].lower() == METADATA


def read_folder(root: Path) -> Files:
    """The files of a folder on disk, as `lll.data.walk` finds them."""
    return make_files(as_text(str(root)), walk(root))


def image_files(path: str | Path) -> tuple[list[tuple[str, Reader]], tuple[Unused, ...]]:
    """What to call each image in a folder, or the file ``path``, its reader; what is not used.

    Names are paths as text. A file that is named is read whatever its suffix. Raises
    UserError for a path that is not there, and for a folder without images.
    """
    place = Path(real_path(os.fspath(path)))
    name = as_text(str(place))
    if not place.is_dir():
        if not os.path.lexists(place):
            raise UserError(f"{name}: no such image or folder: check the path")
        return [(name, partial(read_file, str(place)))], ()
    entries = walk(place)
    places = {entry.path: as_text(entry.place) for entry in entries}
    files = make_files(name, entries)
    if not files.images:
        raise UserError(f"{name}: there is no image file in it: add some, or check the path")
    others = [*files.tables, *files.parquets]
    tables = (Unused("a table, not an image", len(others), others[0]),) if others else ()
    return [(places[path], read) for path, read in files.images.items()], files.unused + tables


def make_files(where: str, entries: Iterable[Entry]) -> Files:
    """Sort the entries of a tree into images, tables and what is not used."""
    entries = sorted(entries, key=lambda entry: entry.path)
    images: dict[str, Reader] = {}
    tables: dict[str, Read] = {}
    parquets: dict[str, str] = {}
    unused: dict[str, list[str]] = {}
    folders = {entry.path for entry in entries if entry.folder}
    for entry in entries:
        if entry.folder:
            continue
        reader, reason = image_reader(entry)
        if reader is not None:
            images[entry.path] = reader
        elif entry.read is not None and is_table(entry.path):
            tables[entry.path] = entry.read
        elif entry.read is not None and suffix_of(entry.path) == ".parquet":
            parquets[entry.path] = entry.place
        else:
            unused.setdefault(reason, []).append(entry.path)
    for folder in {path.rpartition("/")[0] for path in (*images, *tables)}:
        folders.update(map(str, (PurePosixPath(folder), *PurePosixPath(folder).parents)))
    counted = tuple(Unused(reason, len(paths), paths[0]) for reason, paths in unused.items())
    return Files(where, images, tables, frozenset(folders - {"."}), parquets, counted)


def image_reader(entry: Entry) -> tuple[Reader | None, str]:
    """What reads the image that ``entry`` is; or None, and why it is not used.

    The reader of an image that is not read, by its format or because it is no regular file,
    raises UnreadableError, so that the image is skipped in view.
    """
    suffix = suffix_of(entry.path)
    if entry.reason == HIDDEN or (entry.reason and not is_image(entry.path)):
        return None, entry.reason
    if suffix in SUFFIXES and not entry.reason:
        return entry.read, ""
    if reason := entry.reason or foreign_reason(entry.path):
        return partial(_refuse, reason), ""
    if suffix:
        return None, f"not an image ({suffix})"
    is_one = entry.read is not None and _starts_as_image(entry.read)
    return (entry.read, "") if is_one else (None, "not an image (no suffix)")


def _refuse(reason: str) -> bytes:
    raise UnreadableError(reason)


def _starts_as_image(read: Read) -> bool:
    try:
        return starts_as_image(read(HEAD_BYTES))
    except (UnreadableError, OSError):
        return True  # that it cannot be read is said where it is read


def unwrapped(files: Files) -> Files:
    """The tree inside single folders that hold nothing but folders, or a table.

    A folder that holds images is a class. One that is called as a split stays.
    """
    root = ""
    while (top := wrapper_in(files, root)) and not split_of(top):
        root += top + "/"
    if not root:
        return files
    return replace(
        files,
        where=f"{files.where}/{root[:-1]}",
        images={path.removeprefix(root): reader for path, reader in files.images.items()},
        tables={path.removeprefix(root): reader for path, reader in files.tables.items()},
        folders=frozenset(f.removeprefix(root) for f in files.folders if f.startswith(root)),
    )


def states_of(entries: Sequence[Entry]) -> dict[str, int]:
    """The state of each file of a folder, by its path in the unwrapped tree."""
    wrapper = unwrapped(make_files("", entries)).where.removeprefix("/")
    start = len(wrapper) + 1 if wrapper else 0
    return {entry.path[start:]: state_of(entry.status) for entry in entries if entry.status}


def wrapper_in(files: Files, root: str) -> str:
    """The name of the one folder in ``root`` ("" or "a/") if it only wraps others, else ""."""
    below = [path[len(root) :] for path in (*files.images, *files.tables) if path.startswith(root)]
    folders = {f[len(root) :].split("/")[0] for f in files.folders if f.startswith(root)}
    if len(folders) != 1 or not below or any("/" not in path for path in below):
        return ""
    inside = [path for path in below if path.count("/") == 1]
    is_class = inside and not any(map(is_table, inside))
    return "" if is_class else folders.pop()


def load_items(name: str, files: Files, items: Sequence[Item], options: Options) -> DataSet:
    """Decode the items of a tree and make a DataSet; ids are the paths.

    Raises UserError for a class none of whose images could be read.
    """
    paths = [item.path for item in items]
    images, kept, skipped = options.decoded(((p, files.images[p]) for p in paths), len(paths))
    readable = [item for item, keep in zip(items, kept, strict=True) if keep]
    _check_no_class_lost(items, readable, skipped, files.where)
    class_names, labels = encode([item.label for item in readable])
    return assemble(
        name,
        class_names,
        images,
        labels,
        id_array([item.path for item in readable], files.where),
        np.array([item.split for item in readable], dtype=np.str_),
        test_share=options.test_share,
        skipped=skipped,
    )


def _check_no_class_lost(
    items: Sequence[Item], readable: Sequence[Item], skipped: Sequence[Skipped], where: str
) -> None:
    alive = {(item.split, item.label) for item in readable}
    for item in items:
        if item.label and (item.split, item.label) not in alive:
            group = {i.path for i in items if (i.split, i.label) == (item.split, item.label)}
            reason = next(s.reason for s in skipped if s.path == item.path)
            raise UserError(
                f"{where}: class {item.label!r} has no readable image: all {len(group)} were"
                f" skipped (first {item.path}: {reason}): repair them or remove the class"
            )
