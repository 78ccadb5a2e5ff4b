"""The events of the gradual benchmark: which image is labelled at which stage, as files.

    python -m benchmarks.accuracy.gradual_events            # writes them anew, the same each time

They are made from numbers alone. An image is named by its class and its place in it:
``ship/0123`` is the training image number 123, from 0, of those of class ``ship`` in the order of
the data's files. So they fit every copy of the data that has its order, and a copy in another
order gives other images with the same protocol. Columns: order, draw, stage, id, label.
"""

from __future__ import annotations

import csv
import gzip
import io
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

FOLDER = Path(__file__).parent / "gradual"
COLUMNS = ("order", "draw", "stage", "id", "label")
FIRST = 5  # classes at the first stage


@dataclass(frozen=True)
class Protocol:
    """A data set's numbers: ``per_class`` training images of each of ``classes``.

    ``aside`` of them are for validation, and never labelled. ``by_age`` are the labels of a
    class at the stage that brings it, and at each stage after.
    """

    classes: tuple[str, ...]
    per_class: tuple[int, ...]
    aside: int
    by_age: tuple[int, ...]
    orders: int = 5
    draws: int = 3

    @property
    def stages(self) -> int:
        """How many stages there are: one for each class after the first ones, and the first."""
        return len(self.classes) - FIRST + 1


CIFAR = "airplane automobile bird cat deer dog frog horse ship truck"
PROTOCOLS = {
    "cifar10": Protocol(tuple(CIFAR.split()), (5000,) * 10, 500, (4, 10, 25, 60, 150, 400)),
    # Of the digits 139 to 146 each are for training.
    "digits": Protocol(
        tuple("0123456789"),
        (142, 146, 142, 146, 145, 146, 145, 143, 139, 144),
        14,
        (1, 2, 5, 12, 30, 80),
    ),
}


@dataclass(frozen=True)
class Event:
    """From ``stage`` on the image ``id`` is known to be of class ``label``."""

    order: int
    draw: int
    stage: int
    id: str
    label: str


def class_order(protocol: Protocol, order: int) -> list[int]:
    """Classes by when they come; order 0 is the data's own, the others are drawn."""
    if order == 0:
        return list(range(len(protocol.classes)))
    return np.random.default_rng([11, order]).permutation(len(protocol.classes)).tolist()


def validation_places(protocol: Protocol, label: int) -> NDArray[np.int64]:
    """Places in class ``label`` of its images for validation: the same in all orders and draws."""
    drawn = np.random.default_rng([12, label]).permutation(protocol.per_class[label])
    return np.sort(drawn[: protocol.aside])


def labelled_places(protocol: Protocol, draw: int, label: int) -> NDArray[np.int64]:
    """Places in class ``label`` in the order in which they are labelled, validation left out.

    They do not depend on the order of the classes.
    """
    free = np.setdiff1d(np.arange(protocol.per_class[label]), validation_places(protocol, label))
    return np.random.default_rng([13, draw, label]).permutation(free)


def events_of(protocol: Protocol, order: int, draw: int) -> Iterator[Event]:
    """Every event of one order and draw, by stage; an image is labelled once."""
    ranks = class_order(protocol, order)
    for stage in range(protocol.stages):
        for rank, label in enumerate(ranks[: FIRST + stage]):
            age = stage - max(0, rank - FIRST + 1)
            before = protocol.by_age[age - 1] if age else 0
            places = labelled_places(protocol, draw, label)[before : protocol.by_age[age]]
            for place in places.tolist():
                name = protocol.classes[label]
                yield Event(order, draw, stage, id_of(name, place), name)


def id_of(name: str, place: int) -> str:
    """How an image is named here."""
    return f"{name}/{place:04d}"


def names_of(labels: NDArray[np.int64], class_names: Sequence[str]) -> NDArray[np.str_]:
    """The name here of each training image [n] of ``labels`` [n], in the order of the data."""
    names = np.empty(len(labels), dtype="<U64")
    for index, name in enumerate(class_names):
        at = np.flatnonzero(labels == index)
        names[at] = [id_of(name, place) for place in range(len(at))]
    return names


def read_events(name: str) -> list[Event]:
    """The events of the benchmark on data ``name``, from its file."""
    with gzip.open(FOLDER / f"{name}-events.csv.gz", "rt", encoding="utf-8", newline="") as file:
        return [
            Event(int(row["order"]), int(row["draw"]), int(row["stage"]), row["id"], row["label"])
            for row in csv.DictReader(file)
        ]


def read_validation(name: str) -> list[str]:
    """The ids that are set aside for validation on data ``name``."""
    path = FOLDER / f"{name}-validation.csv.gz"
    with gzip.open(path, "rt", encoding="utf-8", newline="") as file:
        return [row["id"] for row in csv.DictReader(file)]


def texts_of(protocol: Protocol) -> dict[str, str]:
    """What the two files hold, by the ends of their names."""
    events = [
        (event.order, event.draw, event.stage, event.id, event.label)
        for order in range(protocol.orders)
        for draw in range(protocol.draws)
        for event in events_of(protocol, order, draw)
    ]
    aside = [
        (id_of(name, place), name)
        for label, name in enumerate(protocol.classes)
        for place in validation_places(protocol, label).tolist()
    ]
    return {"events": table(COLUMNS, events), "validation": table(("id", "label"), aside)}


def table(head: Sequence[str], rows: Sequence[tuple[object, ...]]) -> str:
    """A CSV."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(head)
    writer.writerows(rows)
    return text.getvalue()


def main() -> None:
    """Write the files."""
    FOLDER.mkdir(exist_ok=True)
    for name, protocol in PROTOCOLS.items():
        for end, text in texts_of(protocol).items():
            path = FOLDER / f"{name}-{end}.csv.gz"
            path.write_bytes(gzip.compress(text.encode(), mtime=0))
            sys.stdout.write(f"{path}: {text.count(chr(10)) - 1} rows\n")


if __name__ == "__main__":
    main()
