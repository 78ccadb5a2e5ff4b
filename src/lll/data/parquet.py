"""Parquet in the Hugging Face layout: an image column with bytes, and a label column."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from lll.data.assemble import (
    SPLITS,
    Options,
    assemble,
    check_class_names,
    check_labels,
    encode,
    encode_numbers,
)
from lll.data.images import Reader, UnreadableError, decode_all
from lll.types import UNLABELLED, DataSet, Skipped, UserError

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
    images: list[NDArray[np.uint8]] = []
    labels: list[Label] = []
    ids: list[str] = []
    row_splits: list[str] = []
    skipped: list[Skipped] = []
    rows_so_far = dict.fromkeys(splits, 0)
    first: _Columns | None = None
    for path, split in zip(files, splits, strict=True):
        with _open(path) as file:
            columns = _columns(file.schema_arrow, path)
            first = first or columns
            if columns.class_names != first.class_names:
                raise UserError(
                    f"{path} names other classes than {files[0]}: use files of one data set"
                )
            row = 0
            for readers, batch_labels in _batches(file, columns, path):
                names = [f"{path.name} row {row + i}" for i in range(len(readers))]
                decoded, kept, bad = decode_all(
                    names, readers, options.image_size, strict=options.strict
                )
                images.append(decoded)
                skipped.extend(bad)
                for i in np.flatnonzero(kept):
                    labels.append(batch_labels[i])
                    ids.append(f"{split}/{rows_so_far[split] + row + i:05d}")
                    row_splits.append(split)
                row += len(readers)
            rows_so_far[split] += row
    if first is None or not images:
        raise UserError(f"{name} has no rows: give Parquet files that hold images")
    class_names, indices = _encode(labels, first.class_names, name)
    return assemble(
        name,
        class_names,
        np.concatenate(images),
        indices,
        np.array(ids, dtype=np.str_),
        np.array(row_splits, dtype=np.str_),
        test_share=options.test_share,
        skipped=tuple(skipped),
    )


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
    return _Columns(image, label, names if kinds.is_integer(kind) else ())


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
    labels: Sequence[Label], class_names: tuple[str, ...], name: str
) -> tuple[tuple[str, ...], NDArray[np.int64]]:
    """Class names and indices: by the schema's names, else by the values that occur."""
    if any(isinstance(label, str) for label in labels):
        return encode(["" if label is None else str(label) for label in labels])
    numbers = np.array([UNLABELLED if label is None else label for label in labels], dtype=np.int64)
    if class_names:
        check_labels(numbers, len(class_names), name)
        return class_names, numbers
    return encode_numbers(numbers, name)


def _line(error: Exception) -> str:
    return str(error).splitlines()[0] if str(error) else type(error).__name__
