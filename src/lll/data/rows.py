"""Images in files, read by position when asked for."""

from __future__ import annotations

import math
import mmap
import os
import weakref
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lll.errors import UserError


class InFile:
    """Images uint8 [m, h, w, 3] as raw bytes in a file, from byte ``start`` on.

    They are read by position and not mapped: what a process reads of a map counts as its own
    memory, two megabytes for each image that it touches, and a file cut short would kill it.
    The file is opened at once, and stays what it was if another takes its name.
    """

    def __init__(self, path: str, shape: tuple[int, ...], start: int = 0) -> None:
        self.path = path
        self.shape = shape
        self.start = start
        self._file = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        weakref.finalize(self, os.close, self._file)

    def __reduce__(self) -> tuple[Any, ...]:
        return InFile, (self.path, self.shape, self.start)

    def __len__(self) -> int:
        return self.shape[0]

    def __getitem__(self, at: NDArray[np.intp]) -> NDArray[np.uint8]:
        """The images at positions ``at`` [k]; UserError if the file has become too short."""
        out = np.empty((len(at), *self.shape[1:]), dtype=np.uint8)
        each = math.prod(self.shape[1:])
        target = out.reshape(-1).data
        breaks = [0, *(np.flatnonzero(np.diff(at) != 1) + 1).tolist(), len(at)]
        for first, end in pairwise(breaks):  # neighbours in one go
            if first < end:
                self._fill(target[first * each : end * each], int(at[first]) * each)
        return out

    def _fill(self, target: memoryview, position: int) -> None:
        while len(target):
            count = os.preadv(self._file, [target], self.start + position)
            if not count:
                raise UserError(f"{self.path} has become shorter: load the data again")
            target, position = target[count:], position + count


def _unmapped(part: NDArray[np.uint8]) -> NDArray[np.uint8] | InFile:
    """The file behind a map [m, h, w, 3], or ``part`` itself if it is not as the file is.

    A private map (mode "c") may have been written to.
    """
    if not isinstance(part, np.memmap) or not hasattr(os, "preadv") or not len(part):
        return part
    if part.mode == "c" or part.filename is None or not part.flags.c_contiguous:
        return part
    # A slice of a map says the offset of the whole, so that of the slice is counted in memory.
    pages = np.frombuffer(vars(part)["_mmap"], np.uint8)
    inside = part.ctypes.data - pages.ctypes.data
    start = part.offset - part.offset % mmap.ALLOCATIONGRANULARITY + inside
    try:
        return InFile(os.fspath(part.filename), part.shape, start)
    except OSError:  # removed since
        return part


class Rows:
    """Images that stay where they are, in a file, until they are asked for.

    ``parts`` are images uint8 [m, h, w, 3], thought of as one after another, and ``at`` [n]
    the positions picked from them. Indexing as in NumPy reads the rows that it names and
    gives an array of their own, which may be written to; ``numpy.asarray`` reads them all.
    """

    def __init__(self, parts: tuple[NDArray[np.uint8] | InFile, ...], at: NDArray[np.intp]) -> None:
        self.parts = parts
        self.at = at

    @staticmethod
    def of(*parts: NDArray[np.uint8] | InFile | Rows) -> Rows:
        """All of ``parts``, one after another; none of them is read."""
        flat: list[NDArray[np.uint8] | InFile] = []
        picks: list[NDArray[np.intp]] = []
        start = 0
        for part in parts:
            if isinstance(part, np.ndarray):
                part = _unmapped(part)
            rows = part if isinstance(part, Rows) else Rows((part,), np.arange(len(part)))
            flat += rows.parts
            picks.append(rows.at + start)
            start += sum(map(len, rows.parts))
        return Rows(tuple(flat), np.concatenate(picks))

    def take(self, index: NDArray[np.intp] | NDArray[np.bool_] | slice) -> Rows:
        """The rows that ``index`` picks, in its order; nothing is read."""
        return Rows(self.parts, self.at[index])

    def __len__(self) -> int:
        return len(self.at)

    @property
    def shape(self) -> tuple[int, ...]:
        """[n, h, w, 3]."""
        return (len(self.at), *self.parts[0].shape[1:])

    @property
    def ndim(self) -> int:
        """Always 4."""
        return len(self.shape)

    @property
    def dtype(self) -> np.dtype[np.uint8]:
        """Always uint8."""
        return np.dtype(np.uint8)

    @property
    def nbytes(self) -> int:
        """What the rows would take in memory."""
        return math.prod(self.shape)

    def __getitem__(self, index: Any) -> NDArray[np.uint8]:
        if isinstance(index, tuple):  # such as [:, 0, 0]: rows first, then inside them
            first, *rest = index or (slice(None),)
            inside = rest if np.ndim(self.at[first]) == 0 else [slice(None), *rest]
            return np.asarray(self[first][tuple(inside)])
        at = self.at[index]
        return self.read_at(at) if np.ndim(at) else self.read_at(np.array([at]))[0]

    def __array__(
        self, dtype: np.dtype[Any] | None = None, copy: bool | None = None
    ) -> NDArray[Any]:
        if copy is False:
            raise ValueError("images in a file cannot be had without a copy")
        return self[:] if dtype is None else self[:].astype(dtype)

    def read_at(self, at: NDArray[np.intp]) -> NDArray[np.uint8]:
        """The images at positions ``at`` [k] of the parts."""
        if len(self.parts) == 1:
            return _picked(self.parts[0], at)
        out = np.empty((len(at), *self.shape[1:]), dtype=np.uint8)
        start = 0
        for part in self.parts:
            here = (at >= start) & (at < start + len(part))
            out[here] = _picked(part, at[here] - start)
            start += len(part)
        return out


def _picked(part: NDArray[np.uint8] | InFile, at: NDArray[np.intp]) -> NDArray[np.uint8]:
    return (part if isinstance(part, InFile) else np.asarray(part))[at]
