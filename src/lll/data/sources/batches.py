"""The rows of a Parquet file, as many at a time as memory has room for."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from lll.data.budgets import MAX_PARQUET_BYTES, check_unpacked
from lll.data.decoding import CHUNK_BYTES
from lll.data.sources.schema import Columns
from lll.errors import UserError

MOST_ROWS = 1024  # at a time
READ_BYTES = 2**20
LEAST_IMAGE_BYTES = 64  # a row that takes less repeats another

Label = int | str | None
Cell = dict[str, Any] | bytes | str | None


def open_parquet(path: Path) -> Any:
    """The file as pyarrow reads it; UserError if it cannot be read."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        # Buffered: of a row group what is needed next is read, not all of it.
        return pq.ParquetFile(path, buffer_size=READ_BYTES, pre_buffer=False)
    except (pa.ArrowException, ValueError, OSError) as error:
        raise UserError(f"{path} is not a readable Parquet file: {_line(error)}") from error


def check_bytes(metadata: Any, path: Path) -> None:
    """UserError if the file says that it holds more than a file of its size can."""
    groups = [metadata.row_group(i) for i in range(metadata.num_row_groups)]
    unpacked = sum(group.total_byte_size for group in groups)
    unpacked = max(unpacked, LEAST_IMAGE_BYTES * metadata.num_rows)
    remedy = "if you trust it, write its rows to a new file"
    check_unpacked(unpacked, path.stat().st_size, MAX_PARQUET_BYTES, path, remedy)


def batches(path: Path, columns: Columns) -> Iterator[tuple[list[Cell], list[Label]]]:
    """Images and labels of the rows; those of one batch take about `CHUNK_BYTES` at most."""
    import pyarrow as pa

    try:
        with open_parquet(path) as file:
            for group in range(file.num_row_groups):
                # Rows may refer to one value, so each may take as much as all are said to:
                # 95 KB have taken 3.4 GB.
                rows = CHUNK_BYTES // max(file.metadata.row_group(group).total_byte_size, 1)
                rows = min(max(rows, 1), MOST_ROWS)
                for batch in file.iter_batches(rows, [group], [columns.image, columns.label]):
                    images, labels = batch.column(columns.image), batch.column(columns.label)
                    yield images.to_pylist(), labels.to_pylist()
    except (pa.ArrowException, ValueError, OSError) as error:
        raise UserError(f"{path} is damaged: {_line(error)}: fetch it again") from error


def _line(error: Exception) -> str:
    return str(error).splitlines()[0] if str(error) else type(error).__name__
