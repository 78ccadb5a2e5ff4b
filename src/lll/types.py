"""Small frozen values that the rooms hand one another. Imports nothing of ours."""

from __future__ import annotations

import difflib
import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

UNLABELLED = -1

T = TypeVar("T")


class UserError(ValueError):
    """Bad input, said in one line that names the value and the remedy.

    The command line prints the line and exits with code 2; from Python it is an
    ordinary ``ValueError``.
    """


@dataclass(frozen=True)
class ImageSet:
    """Images with what is known of them.

    ``images`` uint8 [n, height, width, 3] in RGB; ``labels`` int64 [n], an index into the
    data set's class names or -1 for unlabelled; ``ids`` str [n], stable and unique.
    """

    images: NDArray[np.uint8]
    labels: NDArray[np.int64]
    ids: NDArray[np.str_]

    def __len__(self) -> int:
        return len(self.labels)

    def take(self, index: NDArray[np.intp] | NDArray[np.bool_]) -> ImageSet:
        """The rows that ``index`` (positions or a mask [n]) picks, in its order."""
        return ImageSet(self.images[index], self.labels[index], self.ids[index])


@dataclass(frozen=True)
class Skipped:
    """An image that could not be used, and why."""

    path: str
    reason: str


@dataclass(frozen=True)
class DataSet:
    """A named data set: class names, training images and test images.

    ``skipped`` lists the images of the source that could not be read.
    """

    name: str
    class_names: tuple[str, ...]
    train: ImageSet
    test: ImageSet
    skipped: tuple[Skipped, ...] = ()


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
