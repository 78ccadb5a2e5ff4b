"""The rows of a Parquet file, as many at a time as memory has room for."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from lll.data.budgets import MAX_PARQUET_BYTES, check_unpacked
from lll.data.decoding import CHUNK_BYTES
from lll.data.sources.schema import Columns
from lll.errors import UserError

BATCH_ROWS = 1024
READ_BYTES = 2**20
# Of values to refer to in a row group: pyarrow takes three times that. Larger: row by row.
REPEATING_BYTES = 256 * 2**20
LEAST_IMAGE_BYTES = 64  # a row that takes less repeats another

Label = int | str | None
Cell = Callable[[], dict[str, Any] | bytes | str | None]
"""The image of one row, which is in memory only once it is asked for."""


def open_parquet(path: Path, once: Sequence[str] = ()) -> Any:
    """The file as pyarrow reads it, with repeated values of the leaves ``once`` kept once.

    Raises UserError if it cannot be read.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        # Buffered: of a row group what is needed next is read, not all of it.
        return pq.ParquetFile(path, read_dictionary=once, buffer_size=READ_BYTES, pre_buffer=False)
    except (pa.ArrowException, ValueError, OSError) as error:
        raise UserError(f"{path} is not a readable Parquet file: {_line(error)}") from error


def check_bytes(metadata: Any, path: Path) -> None:
    """UserError if the file says that it holds more than a file of its size can."""
    groups = [metadata.row_group(i) for i in range(metadata.num_row_groups)]
    chunks = [group.column(i) for group in groups for i in range(group.num_columns)]
    unpacked = sum(chunk.total_uncompressed_size for chunk in chunks)
    unpacked = max(unpacked, LEAST_IMAGE_BYTES * metadata.num_rows)
    remedy = "write its rows anew if you trust it"
    check_unpacked(unpacked, path.stat().st_size, MAX_PARQUET_BYTES, path, remedy)


def batches(path: Path, columns: Columns) -> Iterator[tuple[list[Cell], list[Label]]]:
    """Images and labels of the rows, as many at a time as `CHUNK_BYTES` have room for."""
    import pyarrow as pa

    wanted = [columns.image, columns.label]
    try:
        with open_parquet(path) as file:
            repeating = _repeating(file.metadata, wanted)
        few = max(repeating.values(), default=0) <= REPEATING_BYTES
        with open_parquet(path, [*repeating] if few else ()) as file:
            for group in range(file.num_row_groups):
                rows = _rows_at_a_time(file.metadata.row_group(group)) if few else 1
                for batch in file.iter_batches(rows, [group], wanted):
                    images, labels = batch.column(columns.image), batch.column(columns.label)
                    cells: list[Cell] = [partial(_cell, images, i) for i in range(len(images))]
                    yield cells, _values(labels)
    except (pa.ArrowException, ValueError, OSError) as error:
        raise UserError(f"{path} is damaged: {_line(error)}: fetch it again") from error


def _repeating(metadata: Any, columns: Sequence[str]) -> dict[str, int]:
    """The leaves of ``columns`` whose values are stored once and referred to, and their bytes.

    Unpacked row by row, 95 KB of them have taken 3.4 GB.
    """
    found: dict[str, int] = {}
    for group in (metadata.row_group(i) for i in range(metadata.num_row_groups)):
        for chunk in (group.column(i) for i in range(group.num_columns)):
            leaf = chunk.path_in_schema
            wanted = any(f"{leaf}.".startswith(f"{name}.") for name in columns)
            if wanted and chunk.has_dictionary_page:
                found[leaf] = max(found.get(leaf, 0), chunk.total_uncompressed_size)
    return found


def _rows_at_a_time(group: Any) -> int:
    rows = CHUNK_BYTES * group.num_rows // max(group.total_byte_size, 1)
    return int(min(max(rows, 1), BATCH_ROWS))


def _cell(images: Any, row: int) -> Any:
    return images[row].as_py()


def _values(labels: Any) -> list[Label]:
    import pyarrow.types as kinds

    if not kinds.is_dictionary(labels.type):
        return list(labels.to_pylist())
    values = labels.dictionary.to_pylist()
    return [None if at is None else values[at] for at in labels.indices.to_pylist()]


def _line(error: Exception) -> str:
    return str(error).splitlines()[0] if str(error) else type(error).__name__
