"""Where a source puts its images as it decodes them: in memory, or straight into a file."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from lll.data.rows import Rows


class StoreError(Exception):
    """The file for pixels cannot be written. No OSError: those mean an unreadable source."""


class Pixels:
    """Images uint8 [n, size, size, 3] that come piece by piece, with n not known before.

    With ``file`` they are appended to it as raw bytes, and none stays in memory.
    """

    def __init__(self, size: int, file: Path | None = None) -> None:
        self._size = size
        self._file = file
        self._pieces: list[NDArray[np.uint8]] = []
        self._count = 0

    def put(self, images: NDArray[np.uint8]) -> None:
        """Add ``images`` [k, size, size, 3]; StoreError if the file cannot take them."""
        self._count += len(images)
        if self._file is None:
            self._pieces.append(images)
            return
        try:
            with self._file.open("ab") as file:
                file.write(np.ascontiguousarray(images).data)
        except OSError as error:
            raise StoreError(error.strerror or str(error)) from error

    def rows(self) -> NDArray[np.uint8] | Rows:
        """All that was put, once; nothing is read from the file."""
        shape = (self._count, self._size, self._size, 3)
        if self._file is not None and self._count:
            return Rows.of(np.memmap(self._file, np.uint8, "r", shape=shape))
        pieces, self._pieces = self._pieces, []
        return np.concatenate([np.empty((0, *shape[1:]), np.uint8), *pieces])
