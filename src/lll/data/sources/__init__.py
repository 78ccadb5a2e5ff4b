"""The table of named data sets and of the kinds of path, and ``load_data`` over both."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from lll.data.archive import open_zip
from lll.data.assemble import Options
from lll.data.cache import cache_folder, load_cached, stamp_of
from lll.data.decoding import OnDecoded
from lll.data.download import Progress
from lll.data.files import Files, make_files, read_folder, states_of, unwrapped
from lll.data.imageset import DataSet, ImageSet, Unused
from lll.data.paths import as_text, real_path
from lll.data.remote import copied, is_remote
from lll.data.sources.cifar import CIFAR10, CIFAR100, Archive, fetch_archive, load_archive
from lll.data.sources.digits import load_digits
from lll.data.sources.folder import load_classes
from lll.data.sources.npz import load_npz
from lll.data.sources.own import labels_itself, load_own
from lll.data.sources.parquet import holds_images, load_parquet_file, load_parquet_folder
from lll.data.sources.table import load_table, tables_of
from lll.data.walk import Entry, walk
from lll.errors import UserError, lookup, nearest
from lll.labels.events import UNLABELLED

# name -> the archive to download, or a loader that needs none
SOURCES: Mapping[str, Archive | Callable[[Options], DataSet]] = {
    "cifar10": CIFAR10,
    "cifar100": CIFAR100,
    "digits": load_digits,
}
ARCHIVES = [name for name, source in SOURCES.items() if isinstance(source, Archive)]


def _load_folder(path: Path, options: Options) -> DataSet:
    return _load_tree(as_text(path.resolve().name), read_folder(path), options)


def _load_zip(path: Path, options: Options) -> DataSet:
    with open_zip(path) as files:
        return _load_tree(as_text(path.stem), files, options)


def _load_tree(name: str, files: Files, options: Options) -> DataSet:
    if holds_images(files):
        return load_parquet_folder(name, files, options)
    files = unwrapped(files)
    tables = tables_of(files)
    if tables:
        data = load_table(name, files, tables, options)
    else:
        data = load_classes(name, files, options)
    left = {
        "a table in a sub-folder": [table for table in files.tables if table not in tables],
        "a Parquet file without images and labels": list(files.parquets),
    }
    return data.with_unused(
        tuple(Unused(reason, len(paths), paths[0]) for reason, paths in left.items() if paths)
    )


def _unused_in(path: Path, entries: Sequence[Entry]) -> tuple[Unused, ...]:
    """What is passed over in a folder or in a zip."""
    if path.is_dir():
        return make_files("", entries).unused
    if path.suffix.lower() != ".zip":
        return ()
    with open_zip(path) as files:
        return files.unused


def _suffix(suffix: str) -> Callable[[Path], bool]:
    return lambda path: path.is_file() and path.suffix.lower() == suffix


# What a path may be, in the order in which it is tried.
KINDS: tuple[tuple[str, Callable[[Path], bool], Callable[[Path, Options], DataSet]], ...] = (
    ("a .parquet file", _suffix(".parquet"), load_parquet_file),
    ("an .npz file", _suffix(".npz"), load_npz),
    ("a .zip file", _suffix(".zip"), _load_zip),
    (
        "a folder of class folders, of images and a CSV, or of .parquet files",
        Path.is_dir,
        _load_folder,
    ),
)


def load_data(
    source: str | Path,
    *,
    cache: Path | None = None,
    image_size: int = 32,
    test_share: float = 0.2,
    strict: bool = False,
    resize: str = "squash",
    progress: Progress | None = None,
    on_decoded: OnDecoded | None = None,
) -> DataSet:
    """The data set that ``source`` names: a name in ``SOURCES`` or a path.

    A name wins over a folder of the same name; write ``./digits`` for the folder. What is
    elsewhere, as ``s3://bucket/photos``, is copied into the cache first (`lll.data.remote`). Images
    of other sizes are resized to ``image_size`` x ``image_size`` pixels: with ``resize``
    "squash" all of the image, with "crop" its middle square, which keeps the shape of things.
    ``test_share`` of each class is set aside where a path has no test split of its own.
    Images that cannot be read are listed in ``skipped``; with ``strict`` the first is an
    error. ``cache`` is where downloads and decoded images are kept; ``progress`` is told of
    downloads. Images that were decoded stay in a file there and are read when they are
    indexed (`lll.data.rows.Rows`); ``numpy.asarray`` has them all in memory. Of a folder that
    has changed only new and changed images are decoded; where any is, ``on_decoded`` is handed
    all of them as they come, the next being decoded meanwhile.

    Raises UserError in one line that names the file or value, and the remedy.
    """
    options = Options(image_size, test_share, strict, resize, on_decoded=on_decoded)
    if isinstance(source, str) and source in SOURCES:
        named = SOURCES[source]
        if not isinstance(named, Archive):
            return named(options)
        archive = named
        return load_cached(
            archive.url,
            archive.sha256,
            lambda wanted: load_archive(archive, wanted, cache, progress),
            options,
            cache,
        )
    remote = is_remote(source)
    path = copied(str(source), cache_folder(cache)) if remote else _existing(source)
    for _, fits, load in KINDS:
        if fits(path):
            return _load_path(path, load, options, cache)
    kinds = "; ".join(name for name, _, _ in KINDS)
    raise UserError(f"{path} cannot be read as a data set: give {kinds}")


def _load_path(
    path: Path, load: Callable[[Path, Options], DataSet], options: Options, cache: Path | None
) -> DataSet:
    if load is load_npz:  # arrays need no decoding
        return load(path, options)
    entries = walk(path) if path.is_dir() else []
    if labels_itself(path, entries):
        data = load_own(path, entries, options, cache)
    else:
        stamp = stamp_of(path, entries)
        data = load_cached(
            str(path.absolute()),
            stamp,
            lambda wanted: load(path, wanted),
            options,
            cache,
            lambda: states_of(entries),
        )
    return data.with_unused(_unused_in(path, entries))


def fetch(name: str, cache: Path | None = None, progress: Progress | None = None) -> Path:
    """Download a named data set into the cache and say where it is.

    Raises UserError for a name that needs no download, a path, and a failed download.
    """
    if name not in SOURCES and Path(name).exists():
        raise UserError(f"{name} is a path, there is nothing to fetch: use it as it is")
    archive = lookup(SOURCES, name, "data set")
    if not isinstance(archive, Archive):
        raise UserError(f"{name} comes with the installation: there is nothing to fetch")
    return fetch_archive(archive, cache, progress)


def describe(dataset: DataSet) -> dict[str, Any]:
    """Facts of a data set as plain values that JSON can hold.

    Keys: ``name``; ``image_shape`` [h, w, 3]; ``train``, ``validation`` (None if it is not
    given), ``test`` and ``unlabelled`` (of train) counts; ``classes``, a list of ``name`` and
    the same counts; ``skipped``, a list of ``path`` and ``reason``; ``unused``, a list of
    ``reason``, ``count`` and ``first``; ``bytes`` of pixels.
    """
    parts = dataset.parts
    counts = {split: len(part) for split, part in parts.items()}
    by_class = {split: _per_class(part, dataset.class_names) for split, part in parts.items()}
    return {
        "name": dataset.name,
        "image_shape": list(dataset.train.images.shape[1:]),
        "validation": None,
        **counts,
        "unlabelled": int((dataset.train.labels == UNLABELLED).sum()),
        "classes": [
            {"name": name, **{split: by_class[split][i] for split in parts}}
            for i, name in enumerate(dataset.class_names)
        ],
        "skipped": [{"path": s.path, "reason": s.reason} for s in dataset.skipped],
        "unused": [asdict(unused) for unused in dataset.unused],
        "bytes": sum(part.images.nbytes for part in parts.values()),
    }


def _per_class(part: ImageSet, names: Sequence[str]) -> list[int]:
    labelled = part.labels[part.labels != UNLABELLED]
    counts: list[int] = np.bincount(labelled, minlength=len(names)).tolist()
    return counts


def _existing(source: str | Path) -> Path:
    path = Path(real_path(os.fspath(Path(source).expanduser())))
    if source != "" and path.exists():
        return path
    if isinstance(source, Path) or "/" in source or "\\" in source or path.suffix:
        raise UserError(f"{source} does not exist: check the path")
    hint = nearest(source.lower(), SOURCES)
    raise UserError(f"{source!r} is neither a data set nor a path that exists: {hint}")
