"""Small frozen values that the rooms hand one another. Imports nothing of ours."""

from __future__ import annotations

import difflib
import math
import mmap
import os
import weakref
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from itertools import pairwise
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

UNLABELLED = -1

T = TypeVar("T")


class UserError(ValueError):
    """Bad input, said in one line that names the value and the remedy.

    The command line prints the line and exits with code 2; from Python it is an
    ordinary ``ValueError``.
    """


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
                raise UserError(f"{self.path} has become shorter: load the data anew")
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
        return self._read(at) if np.ndim(at) else self._read(np.array([at]))[0]

    def __array__(
        self, dtype: np.dtype[Any] | None = None, copy: bool | None = None
    ) -> NDArray[Any]:
        if copy is False:
            raise ValueError("images in a file cannot be had without a copy")
        return self[:] if dtype is None else self[:].astype(dtype)

    def _read(self, at: NDArray[np.intp]) -> NDArray[np.uint8]:
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


@dataclass(frozen=True)
class ImageSet:
    """Images with what is known of them.

    ``images`` uint8 [n, height, width, 3] in RGB, an array or, where they are in a file,
    `Rows`; ``labels`` int64 [n], an index into the data set's class names or -1 for
    unlabelled; ``ids`` str [n], stable and unique.
    """

    images: NDArray[np.uint8] | Rows
    labels: NDArray[np.int64]
    ids: NDArray[np.str_]

    def __len__(self) -> int:
        return len(self.labels)

    def take(self, index: NDArray[np.intp] | NDArray[np.bool_]) -> ImageSet:
        """The rows that ``index`` (positions or a mask [n]) picks, in its order.

        Images in memory are copied; those in a file are not read.
        """
        images = self.images
        if isinstance(images, np.memmap):
            images = Rows.of(images)
        picked = images.take(index) if isinstance(images, Rows) else images[index]
        return ImageSet(picked, self.labels[index], self.ids[index])


@dataclass(frozen=True)
class Skipped:
    """An image that could not be used, and why."""

    path: str
    reason: str


@dataclass(frozen=True)
class DataSet:
    """A named data set: class names, training images and test images.

    ``skipped`` lists the images of the source that could not be read. ``fingerprint`` is
    that of `lll.data.fingerprint` where it is known already, else "".
    """

    name: str
    class_names: tuple[str, ...]
    train: ImageSet
    test: ImageSet
    skipped: tuple[Skipped, ...] = ()
    # Not of __init__, so that dataclasses.replace, which changes the content, forgets it.
    fingerprint: str = field(default="", init=False, compare=False)

    def with_fingerprint(self, fingerprint: str) -> DataSet:
        """The same data set with its ``fingerprint`` known."""
        same = replace(self)
        object.__setattr__(same, "fingerprint", fingerprint)
        return same


@dataclass(frozen=True)
class Schedule:
    """How one number moves over a run; ``lll.schedules`` computes it.

    A range ``(low, high)`` with the name of a rule, or explicit ``points`` of
    (epoch, value) that hold until the next point. ``high`` None means all classes of
    the data set. ``per_class`` marks a label amount counted per class instead of a share.
    """

    low: float
    high: float | None
    rule: str = "default"
    per_class: bool = False
    points: tuple[tuple[int, float], ...] = field(default=())

    def __str__(self) -> str:
        if self.points:
            body = ",".join(f"{epoch}={_number(value)}" for epoch, value in self.points)
            return body + ("/class" if self.per_class else "")
        low = "all" if self.low == math.inf else _number(self.low)
        high = "all" if self.high is None else _number(self.high)
        body = low if low == high else f"{low}:{high}"
        body += "/class" if self.per_class else ""
        return body if self.rule == "default" else f"{body}:{self.rule}"


def _number(value: float) -> str:
    """The shortest text that reads back as ``value``: 8, 0.5, 1e-05."""
    return str(int(value)) if value == int(value) and abs(value) < 1e15 else repr(float(value))


@dataclass(frozen=True)
class EpochPlan:
    """What the schedules say about one epoch.

    ``labels`` is a share in [0, 1] of each represented class, or a count per class if
    ``per_class``. Learning rates are those the optimizers use.
    """

    epoch: int
    classes: int
    labels: float
    per_class: bool
    contrastive_rate: float
    probe_rate: float


@dataclass(frozen=True)
class LabelEvent:
    """One label becoming known: which image, which class, when, and who said so.

    ``origin`` is one of ``schedule``, ``person``, ``suggestion`` (accepted by a person)
    or ``pseudo`` (a pseudo-label).
    """

    id: str
    label: int
    epoch: int
    origin: str


def nearest(name: str, known: Iterable[str]) -> str:
    """``did you mean 'x'?`` for the known name closest to ``name``, else the known names."""
    names = sorted(known)
    close = difflib.get_close_matches(name, names, n=1, cutoff=0.5)
    return f"did you mean {close[0]!r}?" if close else f"choose one of {', '.join(names)}"


def lookup(table: Mapping[str, T], name: str, what: str) -> T:
    """``table[name]``, or a UserError that names ``what`` and the nearest right name."""
    if name not in table:
        raise UserError(f"unknown {what} {name!r}: {nearest(name, table)}")
    return table[name]
