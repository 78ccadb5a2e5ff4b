"""Parquet in the Hugging Face layout: an image column with bytes, and a label column."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from itertools import compress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from lll.data.assemble import (
    Options,
    assemble,
    check_class_names,
    check_labels,
    encode,
    encode_numbers,
)
from lll.data.decoding import Reader, UnreadableError, decode_into
from lll.data.imageset import DataSet
from lll.data.layout import SPLITS
from lll.errors import UserError
from lll.labels.events import UNLABELLED
from lll.labels.missing import labels_of, signed

if TYPE_CHECKING:
    from numpy.typing import NDArray

IMAGE_COLUMNS = ("image", "img")
LABEL_COLUMNS = ("label", "labels", "fine_label")
BATCH_ROWS = 1024
FILE_SPLITS = SPLITS | dict.fromkeys(("unlabelled", "unlabeled", "unsupervised"), "train")

Label = int | str | None


@dataclass(frozen=True)
class _Columns:
    image: str
    label: str
    class_names: tuple[str, ...]  # empty where the schema names none
    label_type: Any  # of NumPy


@dataclass(frozen=True)
class _Told:
    """What the rows read so far say of their images, in lists that grow."""

    labels: list[Label]
    ids: list[str]
    splits: list[str]


def parquet_files(folder: Path) -> list[Path]:
    """The ``*.parquet`` files of a folder, or of its ``data`` folder, by name."""
    for place in (folder, folder / "data") if folder.is_dir() else ():
        files = sorted(p for p in place.glob("*.parquet") if not p.name.startswith("."))
        if files:
            return files
    return []


def load_parquet_folder(folder: Path, options: Options) -> DataSet:
    """All Parquet files of a folder; the start of a file's name says its split.

    ``train-*``, ``test-*`` and ``validation-*`` are known. Validation files are the test
    images where there is no labelled test file, else they train.
    """
    files = parquet_files(folder)
    splits = [_split(path.name) for path in files]
    if any(splits) and not all(splits):
        odd = files[splits.index("")]
        raise UserError(f"{odd} does not say its split: rename it to train-... or test-...")
    name = folder.resolve().name
    return _load(name, files, [split or "train" for split in splits], options)


def load_parquet_file(path: Path, options: Options) -> DataSet:
    """One Parquet file, whatever its name: the test share is set aside from it."""
    return _load(path.stem, [path], ["train"], options)


def _split(file_name: str) -> str:
    prefix = re.split(r"[-_.]", file_name.lower())[0]
    return FILE_SPLITS.get(prefix, "")


def _load(name: str, files: Sequence[Path], splits: Sequence[str], options: Options) -> DataSet:
    columns, count = _look_at(files)
    if not count:
        raise UserError(f"{name} has no rows: give Parquet files that hold images")
    pixels, told = options.pixels(), _Told([], [], [])
    with closing(_rows(files, splits, columns, told)) as rows:
        kept, skipped = decode_into(
            pixels, rows, count, options.image_size, options.resize, strict=options.strict
        )
    class_names, indices = _encode(list(compress(told.labels, kept)), columns, name)
    return assemble(
        name,
        class_names,
        pixels.rows(),
        indices,
        np.array(list(compress(told.ids, kept)), dtype=np.str_),
        np.array(list(compress(told.splits, kept)), dtype=np.str_),
        test_share=options.test_share,
        skipped=skipped,
    )


def _look_at(files: Sequence[Path]) -> tuple[list[_Columns], int]:
    """The columns of each file, and the rows of all; UserError if they do not fit together."""
    columns: list[_Columns] = []
    count = 0
    for path in files:
        with _open(path) as file:
            columns.append(_columns(file.schema_arrow, path))
            count += file.metadata.num_rows
        if columns[-1].class_names != columns[0].class_names:
            raise UserError(
                f"{path} names other classes than {files[0]}: use files of one data set"
            )
    return columns, count


def _rows(
    files: Sequence[Path], splits: Sequence[str], columns: Sequence[_Columns], told: _Told
) -> Generator[tuple[str, Reader], None, None]:
    """What errors call each row, and its image; the rest of the row is added to ``told``."""
    rows_so_far = dict.fromkeys(splits, 0)
    for path, split, names in zip(files, splits, columns, strict=True):
        with _open(path) as file:
            row = 0
            for readers, labels in _batches(file, names, path):
                for reader, label in zip(readers, labels, strict=True):
                    told.labels.append(label)
                    told.ids.append(f"{split}/{rows_so_far[split] + row:05d}")
                    told.splits.append(split)
                    yield f"{path.name} row {row}", reader
                    row += 1
            rows_so_far[split] += row


def _open(path: Path) -> Any:
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        return pq.ParquetFile(path)
    except (pa.ArrowException, ValueError, OSError) as error:
        raise UserError(f"{path} is not a readable Parquet file: {_line(error)}") from error


def _columns(schema: Any, path: Path) -> _Columns:
    import pyarrow.types as kinds

    image = _find(schema.names, IMAGE_COLUMNS, path)
    label = _find(schema.names, LABEL_COLUMNS, path)
    kind = schema.field(image).type
    if kinds.is_struct(kind) and any(kind.field(i).name == "bytes" for i in range(len(kind))):
        kind = kind.field("bytes").type
    if not (kinds.is_binary(kind) or kinds.is_large_binary(kind)):
        raise UserError(
            f"{path}: column {image!r} is {kind}: it must hold the bytes of image files"
        )
    kind = schema.field(label).type
    if kinds.is_dictionary(kind):
        kind = kind.value_type
    if not (kinds.is_integer(kind) or kinds.is_string(kind) or kinds.is_large_string(kind)):
        raise UserError(f"{path}: column {label!r} is {kind}: it must hold integers or strings")
    names = _class_names(schema.metadata, label, path)
    return _Columns(image, label, names if kinds.is_integer(kind) else (), kind.to_pandas_dtype())


def _find(present: Sequence[str], wanted: Sequence[str], path: Path) -> str:
    for name in wanted:
        if name in present:
            return name
    raise UserError(
        f"{path} has no column {' or '.join(wanted)} (it has {', '.join(present)}): rename one"
    )


def _class_names(metadata: dict[bytes, bytes] | None, label: str, path: Path) -> tuple[str, ...]:
    """The names of ``datasets.ClassLabel`` in the schema's metadata, or none."""
    text = (metadata or {}).get(b"huggingface")
    if text is None:
        return ()
    try:
        features = json.loads(text)["info"]["features"]
        names = features.get(label, {}).get("names") or ()
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise UserError(
            f"{path}: the schema's 'huggingface' metadata is damaged: write the file again"
        ) from error
    return check_class_names(names, str(path))


def _batches(
    file: Any, columns: _Columns, path: Path
) -> Iterator[tuple[list[Reader], list[Label]]]:
    import pyarrow as pa

    try:
        for batch in file.iter_batches(BATCH_ROWS, columns=[columns.image, columns.label]):
            data = batch.column(columns.image).to_pylist()
            yield [_reader(cell) for cell in data], batch.column(columns.label).to_pylist()
    except (pa.ArrowException, ValueError, OSError) as error:
        raise UserError(f"{path} is damaged: {_line(error)}: fetch it again") from error


def _reader(cell: dict[str, Any] | bytes | None) -> Callable[[], bytes]:
    def read() -> bytes:
        data = cell.get("bytes") if isinstance(cell, dict) else cell
        if data is None:
            raise UnreadableError("the row holds no image bytes")
        return bytes(data)

    return read


def _encode(
    labels: Sequence[Label], columns: Sequence[_Columns], name: str
) -> tuple[tuple[str, ...], NDArray[np.int64]]:
    """Class names and indices: by the schema's names, else by the values that occur."""
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
        return class_names, numbers
    return encode_numbers(numbers, name)


def _line(error: Exception) -> str:
    return str(error).splitlines()[0] if str(error) else type(error).__name__
