"""A label is an event: who said what about which image, and when."""

from __future__ import annotations

import csv
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from lll.errors import UserError, nearest
from lll.words import cell_text

UNLABELLED = -1
COLUMNS = ("id", "label", "epoch", "origin")


@dataclass(frozen=True)
class LabelEvent:
    """One label becoming known: which image, which class, when, and who said so.

    ``origin`` is one of ``schedule`` (the oracle), ``validation`` (the oracle, to choose
    with), ``person``, ``suggestion`` (accepted by a person), ``import`` or ``pseudo`` (a
    pseudo-label).
    """

    id: str
    label: int
    epoch: int
    origin: str


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

    ``labels`` [n] and ``since`` [n] are the class index and the epoch of each image's event,
    -1 where it has none. Every image without a known label is in the unlabelled pool.
    """

    labels: NDArray[np.int64]
    since: NDArray[np.int64]

    @staticmethod
    def of(ids: NDArray[np.str_], events: Iterable[LabelEvent]) -> Replay:
        """The ``events`` on the images ``ids`` [n]; those on other images are left out."""
        position = {str(name): at for at, name in enumerate(ids)}
        labels = np.full(len(ids), UNLABELLED, dtype=np.int64)
        since = np.full(len(ids), UNLABELLED, dtype=np.int64)
        for event in sorted(events, key=lambda event: event.epoch):
            at = position.get(event.id)
            if at is not None:
                since[at] = event.epoch if since[at] == UNLABELLED else since[at]
                labels[at] = event.label
        return Replay(labels, since)

    def at(self, epoch: int) -> Known:
        """What is known at ``epoch``."""
        told = (self.since >= 0) & (self.since <= epoch)
        labelled = np.flatnonzero(told)
        targets = self.labels[labelled]
        first = {int(c): int(self.since[labelled[targets == c]].min()) for c in np.unique(targets)}
        classes = tuple(sorted(first, key=lambda c: (first[c], c)))
        return Known(labelled, targets, np.flatnonzero(~told), classes)


class Source(Protocol):
    """Who says what is known: the oracle, or events."""

    def at(self, epoch: int) -> Known:
        """What is known at ``epoch``."""


def new_events(source: Source, ids: NDArray[np.str_], epoch: int, origin: str) -> list[LabelEvent]:
    """The labels of the images ``ids`` [n] that become known at ``epoch``."""
    now = source.at(epoch)
    before = source.at(epoch - 1).labelled if epoch else now.labelled[:0]
    fresh = ~np.isin(now.labelled, before)
    return [
        LabelEvent(str(ids[at]), int(label), epoch, origin)
        for at, label in zip(now.labelled[fresh], now.targets[fresh], strict=True)
    ]


def read_events(path: Path, class_names: Sequence[str]) -> list[LabelEvent]:
    """The events in a CSV with the columns id, label (a class name), epoch and, if given, origin.

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
    name, label, epoch, origin = (cell_text(row.get(column) or "") for column in COLUMNS)
    if not name:
        raise UserError(f"{path}, line {line}: no id: write that of an image")
    if label not in index:
        raise UserError(f"{path}, line {line}: unknown class {label!r}: {nearest(label, index)}")
    if not re.fullmatch("[0-9]{1,9}", epoch):
        raise UserError(f"{path}, line {line}: epoch {epoch!r}: write a whole number from 0 up")
    return LabelEvent(name, index[label], int(epoch), origin or "import")
