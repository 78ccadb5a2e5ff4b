"""A label is an event: who said what about which image, and when."""

from __future__ import annotations

import csv
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import astuple, dataclass, replace
from pathlib import Path
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from lll.errors import UserError, nearest
from lll.words import cell_text

UNLABELLED = -1
COLUMNS = ("id", "label", "epoch", "origin", "time")


@dataclass(frozen=True)
class Giver:
    """Where a label comes from.

    ``origin`` is one of ``schedule`` (the oracle), ``validation`` (the oracle, to choose
    with), ``person``, ``audit`` (a person, asked at random), ``suggestion`` (accepted by a
    person), ``import`` or ``pseudo`` (a pseudo-label); ``time``, in ISO 8601, says when it was
    given, "" where nobody gave it.
    """

    origin: str
    time: str = ""


@dataclass(frozen=True)
class LabelEvent:
    """One label becoming known: which image, which class, from which epoch on, and who said so.

    ``origin`` and ``time`` as in `Giver`.
    """

    id: str
    label: int
    epoch: int
    origin: str
    time: str = ""


@dataclass(frozen=True)
class Known:
    """What is known at an epoch, as positions in the training images.

    ``labelled`` [l] have a known label, ``targets`` [l] index its class; ``unlabelled`` [u]
    are looked at without one. Positions are sorted. ``classes`` are the class indices
    represented so far, in the order they came.
    """

    labelled: NDArray[np.intp]
    targets: NDArray[np.int64]
    unlabelled: NDArray[np.intp]
    classes: tuple[int, ...]


@dataclass(frozen=True)
class Replay:
    """Labels known from events, such as those of a file: an event holds from its epoch on.

    Event k says that the image at position ``at_images[k]`` is of class ``labels[k]`` from epoch
    ``epochs[k]`` on; they stand in the order of their epochs, and a later event corrects an
    earlier one, or takes it away (-1). ``count`` is the number of images. Every image without
    a known label is in the unlabelled pool.
    """

    at_images: NDArray[np.intp]
    labels: NDArray[np.int64]
    epochs: NDArray[np.int64]
    count: int

    @staticmethod
    def of(ids: NDArray[np.str_], events: Iterable[LabelEvent]) -> Replay:
        """The ``events`` on the images ``ids`` [n]; those on other images are left out."""
        position = {str(name): at for at, name in enumerate(ids)}
        told = sorted((e for e in events if e.id in position), key=lambda event: event.epoch)
        return Replay(
            np.array([position[event.id] for event in told], dtype=np.intp),
            np.array([event.label for event in told], dtype=np.int64),
            np.array([event.epoch for event in told], dtype=np.int64),
            len(ids),
        )

    def at(self, epoch: int) -> Known:
        """What is known at ``epoch``."""
        so_far = self.epochs <= epoch
        labels = np.full(self.count, UNLABELLED, dtype=np.int64)
        labels[self.at_images[so_far]] = self.labels[so_far]  # of several the last
        labelled = np.flatnonzero(labels != UNLABELLED)
        return Known(
            labelled,
            labels[labelled],
            np.flatnonzero(labels == UNLABELLED),
            tuple(dict.fromkeys(self.labels[so_far & (self.labels != UNLABELLED)].tolist())),
        )


class Source(Protocol):
    """Who says what is known: the oracle, or events."""

    def at(self, epoch: int) -> Known:
        """What is known at ``epoch``."""


def new_events(
    source: Source, ids: NDArray[np.str_], epoch: int, origin: str, givers: Mapping[str, Giver]
) -> list[LabelEvent]:
    """The labels of the images ``ids`` [n] that become known at ``epoch``, or other ones."""
    now = source.at(epoch)
    before = np.full(len(ids), UNLABELLED)
    if epoch:
        earlier = source.at(epoch - 1)
        before[earlier.labelled] = earlier.targets
    fresh = before[now.labelled] != now.targets
    now = replace(now, labelled=now.labelled[fresh], targets=now.targets[fresh])
    return events_of(now, ids, epoch, origin, givers)


def events_of(
    known: Known, ids: NDArray[np.str_], epoch: int, origin: str, givers: Mapping[str, Giver]
) -> list[LabelEvent]:
    """All labels that are ``known`` of the images ``ids`` [n], as events of ``epoch``.

    They are of ``origin`` but where ``givers`` say better, by id.
    """
    labels = [
        (str(ids[at]), int(label)) for at, label in zip(known.labelled, known.targets, strict=True)
    ]
    default = Giver(origin)
    return [
        LabelEvent(name, label, epoch, *astuple(givers.get(name, default)))
        for name, label in labels
    ]


def read_events(path: Path, class_names: Sequence[str]) -> list[LabelEvent]:
    """The events in a CSV with the columns id, label (a class name) and epoch.

    ``origin`` and ``time`` may stand there too.

    A run's ``labels.csv`` is one. Raises UserError for a file that cannot be read, a missing
    column, an unknown class or an epoch that is no whole number from 0 up.
    """
    index = {name: at for at, name in enumerate(class_names)}
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            reader = csv.DictReader(file)
            missing = [name for name in COLUMNS[:3] if name not in (reader.fieldnames or ())]
            if missing:
                raise UserError(f"{path}: no column {missing[0]!r}: it needs id, label and epoch")
            return [_event(row, index, path, line) for line, row in enumerate(reader, 2)]
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise UserError(f"{path}: cannot be read as CSV ({error})") from None


def _event(row: dict[str, str], index: dict[str, int], path: Path, line: int) -> LabelEvent:
    name, label, epoch, origin, time = (cell_text(row.get(column) or "") for column in COLUMNS)
    if not name:
        raise UserError(f"{path}, line {line}: no id: write that of an image")
    if label not in index:
        raise UserError(f"{path}, line {line}: unknown class {label!r}: {nearest(label, index)}")
    if not re.fullmatch("[0-9]{1,9}", epoch):
        raise UserError(f"{path}, line {line}: epoch {epoch!r}: write a whole number from 0 up")
    return LabelEvent(name, index[label], int(epoch), origin or "import", time)
