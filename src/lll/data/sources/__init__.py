"""The table of named data sets and of the kinds of path, and ``load_data`` over both."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from lll.data.archive import open_zip
from lll.data.assemble import Options
from lll.data.cache import load_cached, stamp_of
from lll.data.files import Files, read_folder
from lll.data.imageset import DataSet
from lll.data.sources.arrays import load_npz
from lll.data.sources.cifar import CIFAR10, CIFAR100, Archive, Progress, fetch_archive, load_archive
from lll.data.sources.digits import load_digits
from lll.data.sources.folder import load_classes
from lll.data.sources.parquet import load_parquet_file, load_parquet_folder, parquet_files
from lll.data.sources.table import has_table, load_table
from lll.errors import UserError, lookup, nearest
from lll.labels.events import UNLABELLED

# name -> the archive to download, or a loader that needs none
SOURCES: Mapping[str, Archive | Callable[[Options], DataSet]] = {
    "cifar10": CIFAR10,
    "cifar100": CIFAR100,
    "digits": load_digits,
}


def _load_folder(path: Path, options: Options) -> DataSet:
    return _load_tree(path.resolve().name, read_folder(path), options)


def _load_zip(path: Path, options: Options) -> DataSet:
    with open_zip(path) as files:
        return _load_tree(path.stem, files, options)


def _load_tree(name: str, files: Files, options: Options) -> DataSet:
    load = load_table if has_table(files) else load_classes
    return load(name, files, options)


def _suffix(suffix: str) -> Callable[[Path], bool]:
    return lambda path: path.is_file() and path.suffix.lower() == suffix


# What a path may be, in the order in which it is tried.
KINDS: tuple[tuple[str, Callable[[Path], bool], Callable[[Path, Options], DataSet]], ...] = (
    ("a .parquet file", _suffix(".parquet"), load_parquet_file),
    ("an .npz file", _suffix(".npz"), load_npz),
    ("a .zip file", _suffix(".zip"), _load_zip),
    ("a folder of .parquet files", lambda p: bool(parquet_files(p)), load_parquet_folder),
    ("a folder of class folders, or of images and a CSV", Path.is_dir, _load_folder),
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
) -> DataSet:
    """The data set that ``source`` names: a name in ``SOURCES`` or a path.

    A name wins over a folder of the same name; write ``./digits`` for the folder. Images
    of other sizes are resized to ``image_size`` x ``image_size`` pixels: with ``resize``
    "squash" all of the image, with "crop" its middle square, which keeps the shape of things.
    ``test_share`` of each class is set aside where a path has no test split of its own.
    Images that cannot be read are listed in ``skipped``; with ``strict`` the first is an
    error. ``cache`` is where downloads and decoded images are kept; ``progress`` is told of
    downloads. Images that were decoded stay in a file there and are read when they are
    indexed (`lll.data.rows.Rows`); ``numpy.asarray`` has them all in memory.

    Raises UserError in one line that names the file or value, and the remedy.
    """
    options = Options(image_size, test_share, strict, resize)
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
    path = _existing(source)
    for _, fits, load in KINDS:
        if fits(path):
            return _load_path(path, load, options, cache)
    kinds = "; ".join(name for name, _, _ in KINDS)
    raise UserError(f"{path} is no data set that can be read: give {kinds}")


def _load_path(
    path: Path, load: Callable[[Path, Options], DataSet], options: Options, cache: Path | None
) -> DataSet:
    if load is load_npz:  # arrays need no decoding
        return load(path, options)
    return load_cached(
        str(path.absolute()), stamp_of(path), lambda wanted: load(path, wanted), options, cache
    )


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

    Keys: ``name``; ``image_shape`` [h, w, 3]; ``train``, ``test`` and ``unlabelled`` (of
    train) counts; ``classes``, a list of ``name``, ``train`` and ``test`` counts;
    ``skipped``, a list of ``path`` and ``reason``; ``bytes`` of pixels.
    """
    train, test = (
        _per_class(s.labels, len(dataset.class_names)) for s in (dataset.train, dataset.test)
    )
    return {
        "name": dataset.name,
        "image_shape": list(dataset.train.images.shape[1:]),
        "train": len(dataset.train),
        "test": len(dataset.test),
        "unlabelled": int((dataset.train.labels == UNLABELLED).sum()),
        "classes": [
            {"name": name, "train": train[i], "test": test[i]}
            for i, name in enumerate(dataset.class_names)
        ],
        "skipped": [{"path": s.path, "reason": s.reason} for s in dataset.skipped],
        "bytes": dataset.train.images.nbytes + dataset.test.images.nbytes,
    }


def _per_class(labels: np.ndarray[Any, np.dtype[np.int64]], classes: int) -> list[int]:
    counts: list[int] = np.bincount(labels[labels != UNLABELLED], minlength=classes).tolist()
    return counts


def _existing(source: str | Path) -> Path:
    path = Path(source).expanduser()
    if source != "" and path.exists():
        return path
    if isinstance(source, Path) or "/" in source or "\\" in source or path.suffix:
        raise UserError(f"{source} does not exist: check the path")
    hint = nearest(source.lower(), SOURCES)
    raise UserError(f"{source!r} is neither a data set nor a path that exists: {hint}")
