"""Features kept in two files that only grow, found again by what was encoded.

In one folder for each encoder, size and view::

    features.bin   float16 [m, d], one row after another
    keys.bin       of each row its key (16 bytes) and a checksum (4 bytes)

A row is written before its key, so what a killed process leaves is a row without a key, or
part of one: it is not looked at, and the next to write cuts it off. A row whose checksum is
wrong counts as absent.
"""

from __future__ import annotations

import shutil
import zlib
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from lll.data.locks import alone
from lll.errors import UserError

KEY_BYTES = 16
RECORD = np.dtype([("key", f"S{KEY_BYTES}"), ("check", "<u4")])
HALF = np.dtype("<f2")
SPARE_BYTES = 64 * 2**20  # left free on the disk


class FeatureStore:
    """The features of ``width`` numbers in ``folder``, which is made when it is written to."""

    def __init__(self, folder: Path, width: int) -> None:
        self.folder = folder
        self._row_bytes = width * HALF.itemsize
        self._width = width
        self._places: dict[bytes, int] = {}  # the rows that `find` has seen, by key
        self._looked_at = 0  # how many

    def find(self, keys: Sequence[bytes]) -> NDArray[np.intp]:
        """The row of each of ``keys`` [n], -1 for those that are absent or damaged."""
        records, rows = self._records(), self._rows()
        if len(records) < self._looked_at:  # somebody removed the files
            self._places.clear()
            self._looked_at = 0
        fresh = enumerate(_keys(records[self._looked_at :]), self._looked_at)
        self._places.update((key, at) for at, key in fresh)
        self._looked_at = len(records)
        found = np.array([self._places.get(key, -1) for key in keys], dtype=np.intp)
        here = np.flatnonzero(found >= 0)
        checks = _checksums([keys[i] for i in here.tolist()], rows, found[here])
        found[here[checks != records["check"][found[here]]]] = -1
        return found

    def read(self, at: NDArray[np.intp]) -> NDArray[np.float16]:
        """The rows ``at`` [n, d]: a view of the file where they lie in order, else a copy."""
        rows = self._rows()
        if len(at) and np.array_equal(at, np.arange(at[0], at[0] + len(at))):
            return rows[at[0] : at[0] + len(at)]
        return rows[at]

    def add(self, keys: Sequence[bytes], features: NDArray[np.float16]) -> None:
        """Keep ``features`` [n, d] under ``keys`` [n]; UserError where they cannot be written."""
        rows = np.ascontiguousarray(features, dtype=HALF)
        records = np.empty(len(keys), RECORD)
        records["key"] = keys
        records["check"] = _checksums(keys, rows, np.arange(len(rows)))
        try:
            with alone(self.folder / "lock"):
                whole = self._count()
                others = set(_keys(self._records()[self._looked_at :]))  # of another process
                new = [i for i, key in enumerate(keys) if key not in others]
                # Rows first: a key stands for a row that is there.
                append(self.folder / "features.bin", whole * self._row_bytes, rows[new])
                append(self.folder / "keys.bin", whole * RECORD.itemsize, records[new])
        except OSError as error:
            raise self._refusal(error.strerror or str(error)) from error

    def check_room(self, rows: int) -> None:
        """UserError unless ``rows`` more fit on the disk; none is written."""
        folder = next(f for f in (self.folder, *self.folder.absolute().parents) if f.exists())
        need = rows * (self._row_bytes + RECORD.itemsize)
        free = shutil.disk_usage(folder).free - SPARE_BYTES
        if need > free:
            raise self._refusal(
                f"{need / 2**20:.0f} MiB are needed and {max(free, 0) / 2**20:.0f} MiB are free"
            )

    def _refusal(self, reason: str) -> UserError:
        return UserError(
            f"{self.folder}: no features can be kept there ({reason}):"
            " make room, or choose another folder with --cache FOLDER"
        )

    def _count(self) -> int:
        """How many rows are whole and have a key."""
        return min(
            _size(self.folder / "features.bin") // self._row_bytes,
            _size(self.folder / "keys.bin") // RECORD.itemsize,
        )

    def _records(self) -> NDArray[np.void]:
        if not (count := self._count()):
            return np.empty(0, RECORD)
        return np.fromfile(self.folder / "keys.bin", RECORD, count)

    def _rows(self) -> NDArray[np.float16]:
        shape = (self._count(), self._width)
        if not shape[0]:
            return np.empty(shape, HALF)
        return np.memmap(self.folder / "features.bin", HALF, "r", shape=shape)


def _keys(records: NDArray[np.void]) -> list[bytes]:
    """The keys with the zero bytes at their ends, which NumPy's strings drop."""
    raw = np.ascontiguousarray(records["key"]).tobytes()
    return [raw[at : at + KEY_BYTES] for at in range(0, len(raw), KEY_BYTES)]


def _checksums(
    keys: Sequence[bytes], rows: NDArray[np.float16], at: NDArray[np.intp]
) -> NDArray[np.uint32]:
    """Of each key [n] with its row, which is number ``at`` [n] of ``rows``."""
    raw, each = rows.reshape(-1).view(np.uint8).data, rows.shape[1] * HALF.itemsize
    checks = [
        zlib.crc32(raw[i * each : (i + 1) * each], zlib.crc32(key))
        for key, i in zip(keys, at.tolist(), strict=True)
    ]
    return np.array(checks, dtype=np.uint32)


def _size(path: Path) -> int:
    return path.stat().st_size if path.exists() else 0


def append(path: Path, end: int, array: NDArray[np.generic]) -> None:
    """Write ``array`` after the first ``end`` bytes of the file; what was behind them goes."""
    with path.open("r+b" if path.exists() else "w+b") as file:
        file.truncate(end)
        file.seek(end)
        file.write(array.tobytes())
