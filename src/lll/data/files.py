"""A tree of files as names and readers, so that a folder and a zip are read by the same code."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

import numpy as np

from lll.data.assemble import Options, assemble, encode
from lll.data.decoding import MAX_FILE_BYTES, Reader, UnreadableError, decode_into, is_image
from lll.data.imageset import DataSet, Skipped
from lll.errors import UserError


@dataclass(frozen=True)
class Files:
    """Files by their POSIX path inside ``where`` (the folder or zip, for messages).

    ``images`` and ``tables`` (CSV) map a path to its reader, in sorted order; ``folders``
    holds every sub-folder, empty ones too. Hidden and other files are left out.
    """

    where: str
    images: Mapping[str, Reader]
    tables: Mapping[str, Reader]
    folders: frozenset[str]


@dataclass(frozen=True)
class Item:
    """One image of a tree: its path, class name ("" unlabelled) and split ("" not said)."""

    path: str
    label: str
    split: str = ""


def make_files(where: str, readers: Mapping[str, Reader], folders: set[str]) -> Files:
    """Sort readers into images and tables, without hidden files; add the folders of each."""
    shown = {path: readers[path] for path in sorted(readers) if not _hidden(path)}
    parents = {str(parent) for path in shown for parent in PurePosixPath(path).parents}
    return Files(
        where,
        images={path: reader for path, reader in shown.items() if is_image(path)},
        tables={path: r for path, r in shown.items() if path.lower().endswith(".csv")},
        folders=frozenset({f for f in folders | parents if not _hidden(f)} - {"."}),
    )


def _hidden(path: str) -> bool:
    return any(
        part == "__MACOSX" or (part.startswith(".") and part != ".")
        for part in PurePosixPath(path).parts
    )


def read_folder(root: Path) -> Files:
    """The files of a folder on disk, links followed, loops not."""
    readers: dict[str, Reader] = {}
    folders: set[str] = set()
    for path in _walk(root, frozenset()):
        name = path.relative_to(root).as_posix()
        if path.is_dir():
            folders.add(name)
        else:
            readers[name] = _disk_reader(path)
    return make_files(str(root), readers, folders)


def _walk(folder: Path, above: frozenset[tuple[int, int]]) -> Iterator[Path]:
    try:
        status = folder.stat()
        entries = sorted(folder.iterdir())
    except OSError as error:
        raise UserError(f"{folder} cannot be read: {error.strerror}: check its rights") from error
    here = (status.st_dev, status.st_ino)
    if here in above:
        return
    for entry in entries:
        if entry.name.startswith("."):
            continue
        if entry.is_dir():
            yield entry
            yield from _walk(entry, above | {here})
        elif entry.is_file() or entry.is_symlink():
            yield entry


def _disk_reader(path: Path) -> Reader:
    def read() -> bytes:
        if os.stat(path).st_size > MAX_FILE_BYTES:  # noqa: PTH116 - half the cost, 1M files
            raise UnreadableError(f"larger than {MAX_FILE_BYTES} bytes")
        return path.read_bytes()

    return read


def load_items(name: str, files: Files, items: Sequence[Item], options: Options) -> DataSet:
    """Decode the items of a tree and make a DataSet; ids are the paths.

    Raises UserError for a class none of whose images could be read.
    """
    paths = [item.path for item in items]
    pixels = options.pixels()
    rows = ((path, files.images[path]) for path in paths)
    kept, skipped = decode_into(
        pixels, rows, len(paths), options.image_size, options.resize, strict=options.strict
    )
    readable = [item for item, keep in zip(items, kept, strict=True) if keep]
    _check_no_class_lost(items, readable, skipped, files.where)
    class_names, labels = encode([item.label for item in readable])
    return assemble(
        name,
        class_names,
        pixels.rows(),
        labels,
        np.array([item.path for item in readable], dtype=np.str_),
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
