"""Parquet in the Hugging Face layout: an image column with bytes, and a label column."""

from __future__ import annotations

import re
from collections.abc import Callable, Generator, Sequence
from contextlib import closing
from dataclasses import dataclass
from functools import partial
from itertools import compress
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from lll.data.assemble import (
    Options,
    assemble,
    check_labels,
    encode,
    encode_numbers,
)
from lll.data.decoding import MAX_FILE_BYTES, Reader, UnreadableError
from lll.data.files import Files
from lll.data.imageset import DataSet, Skipped, Unused
from lll.data.layout import SPLITS, split_of
from lll.data.paths import as_text
from lll.data.sources.batches import Cell, Label, batches, check_bytes, open_parquet
from lll.data.sources.schema import Columns, columns_of
from lll.errors import UserError
from lll.labels.events import UNLABELLED
from lll.labels.missing import labels_of, signed
from lll.words import listed, size

if TYPE_CHECKING:
    from numpy.typing import NDArray

FILE_SPLITS = SPLITS | dict.fromkeys(("unlabelled", "unlabeled", "unsupervised"), "train")


@dataclass(frozen=True)
class _Told:
    """What the rows read so far say of their images, in lists that grow."""

    labels: list[Label]
    ids: list[str]
    splits: list[str]


@dataclass(frozen=True)
class _File:
    """A Parquet file, its split, and what reads an image file that one of its rows names."""

    path: Path
    split: str
    find: Callable[[str], bytes]


def holds_images(files: Files) -> bool:
    """Whether the Parquet files of a tree, and no image files beside them, are its images.

    Parquet beside image files is, if it has a column of images and one of labels.
    """
    if not files.parquets or not files.images:
        return bool(files.parquets)
    path = Path(next(iter(files.parquets.values())))
    try:
        with open_parquet(path) as file:
            columns_of(file.schema_arrow, path)
    except UserError:
        return False
    return True


def load_parquet_folder(name: str, files: Files, options: Options) -> DataSet:
    """All Parquet files of a tree; a folder, or the start of the file's name, says the split.

    They lie at the top, in ``data`` or in the folder of a configuration, as in
    ``plain_text/train-00000.parquet`` or ``default/train/0000.parquet``. Raises UserError for
    several configurations.
    """
    _check_one_configuration(files)
    splits = {path: _split(path) for path in files.parquets}
    if any(splits.values()) and not all(splits.values()):
        odd = next(path for path, split in splits.items() if not split)
        raise UserError(
            f"{files.where}/{odd} does not say its split: rename it to train-... or test-..."
        )
    named: set[str] = set()
    found = [
        _File(Path(place), splits[path] or "train", partial(_named, files, path, named))
        for path, place in files.parquets.items()
    ]
    data = _load(name, found, options)
    left = [path for path in files.images if path not in named]
    unused = Unused("an image that no row of the Parquet files names", len(left), "".join(left[:1]))
    return data.with_unused((unused,) if left else ())


def _check_one_configuration(files: Files) -> None:
    if not all(files.parquets.values()):
        raise UserError(f"{files.where}: Parquet files in a zip are not read: unpack it")
    names = {
        "/".join(f for f in _folders(path) if f != "data" and not split_of(f))
        for path in files.parquets
    }
    if len(names) > 1:
        shown = listed(sorted(name or "the top" for name in names), 4)
        raise UserError(
            f"{files.where} holds Parquet files in {shown}, which are several data sets: give the"
            " folder of one"
        )


def _folders(path: str) -> list[str]:
    return path.split("/")[:-1]


def _split(path: str) -> str:
    """The split that the start of the file's name says, else the last folder that says one."""
    prefix = re.split(r"[-_.]", path.rsplit("/", 1)[-1].lower())[0]
    folders = (split_of(folder) for folder in reversed(_folders(path)))
    return FILE_SPLITS.get(prefix, "") or next(filter(None, folders), "")


def _named(files: Files, table: str, named: set[str], path: str) -> bytes:
    """The image file that a row of ``table`` names, relative to it or to the top."""
    beside = "/".join([*_folders(table), path])
    for candidate in (beside, path):
        if candidate in files.images:
            named.add(candidate)
            return files.images[candidate]()
    raise UnreadableError(f"{path!r} is not an image in {files.where}")


def load_parquet_file(path: Path, options: Options) -> DataSet:
    """One Parquet file, whatever its name: the test share is set aside from it."""
    return _load(as_text(path.stem), [_File(path, "train", _not_here)], options)


def _not_here(path: str) -> bytes:
    raise UnreadableError(f"the row names the file {path!r}: give the folder, not the .parquet")


def _load(name: str, files: Sequence[_File], options: Options) -> DataSet:
    columns, count = _look_at(files)
    if not count:
        raise UserError(f"{name} has no rows: give Parquet files that hold images")
    told = _Told([], [], [])
    with closing(_rows(files, columns, told)) as rows:
        images, kept, skipped = options.decoded(rows, count)
    class_names, labels = _encode(told.labels, columns, name)
    _check_no_class_lost(class_names, labels, kept, skipped, name)
    return assemble(
        name,
        class_names,
        images,
        labels[kept],
        np.array(list(compress(told.ids, kept)), dtype=np.str_),
        np.array(list(compress(told.splits, kept)), dtype=np.str_),
        test_share=options.test_share,
        skipped=skipped,
    )


def _check_no_class_lost(
    class_names: Sequence[str],
    labels: NDArray[np.int64],
    kept: NDArray[np.bool_],
    skipped: Sequence[Skipped],
    name: str,
) -> None:
    lost = np.setdiff1d(labels, [UNLABELLED, *labels[kept]])
    if len(lost) and kept.any():
        first = skipped[int((labels[~kept] == lost[0]).argmax())]
        raise UserError(
            f"{name}: class {class_names[lost[0]]!r} has no readable image: all"
            f" {(labels == lost[0]).sum()} were skipped (first {first.path}: {first.reason}):"
            " repair them or remove the rows"
        )


def _look_at(files: Sequence[_File]) -> tuple[list[Columns], int]:
    """The columns of each file, and the rows of all; UserError if they do not fit together."""
    columns: list[Columns] = []
    count = 0
    for path in (file.path for file in files):
        with open_parquet(path) as file:
            columns.append(columns_of(file.schema_arrow, path))
            check_bytes(file.metadata, path)
            count += file.metadata.num_rows
        if columns[-1].class_names != columns[0].class_names:
            raise UserError(
                f"{path} names other classes than {files[0].path}: use files of one data set"
            )
    return columns, count


def _rows(
    files: Sequence[_File], columns: Sequence[Columns], told: _Told
) -> Generator[tuple[str, Reader], None, None]:
    """What errors call each row, and its image; the rest of the row is added to ``told``."""
    rows_so_far = {file.split: 0 for file in files}
    known: dict[Label, Label] = {}  # each label once, however long
    for source, names in zip(files, columns, strict=True):
        row = 0
        for cells, labels in batches(source.path, names):
            for cell, label in zip(cells, labels, strict=True):
                told.labels.append(known.setdefault(label, label))
                told.ids.append(f"{source.split}/{rows_so_far[source.split] + row:05d}")
                told.splits.append(source.split)
                yield f"{source.path.name} row {row}", partial(_read, source.find, cell)
                row += 1
        rows_so_far[source.split] += row


def _read(find: Callable[[str], bytes], cell: Cell) -> bytes:
    """The bytes that ``cell`` holds, or those of the file that it names."""
    data, path = (cell.get("bytes"), cell.get("path")) if isinstance(cell, dict) else (cell, None)
    if isinstance(data, bytes):
        if len(data) > MAX_FILE_BYTES:
            raise UnreadableError(f"larger than {size(MAX_FILE_BYTES)}")
        return data
    path = path if data is None else data
    if not path:
        raise UnreadableError("the row has no image")
    return find(str(path))


def _encode(
    labels: Sequence[Label], columns: Sequence[Columns], name: str
) -> tuple[tuple[str, ...], NDArray[np.int64]]:
    """Class names and indices: by the schema's names that occur, else by the values that do."""
    if any(isinstance(label, str) for label in labels):
        return encode(labels_of(["" if label is None else str(label) for label in labels], name))
    known = np.array([label is not None for label in labels], dtype=bool)
    types = {column.label_type for column in columns}
    given = np.array([n for n in labels if n is not None], types.pop() if len(types) == 1 else int)
    class_names = columns[0].class_names
    numbers = np.full(len(labels), UNLABELLED)
    numbers[known] = signed(given, name, len(class_names) or None)
    if class_names:
        check_labels(numbers, len(class_names), name)
        used = np.unique(numbers[numbers != UNLABELLED])  # a schema may name more
        indices = np.where(numbers == UNLABELLED, UNLABELLED, np.searchsorted(used, numbers))
        return tuple(class_names[i] for i in used), indices
    return encode_numbers(numbers, name)
