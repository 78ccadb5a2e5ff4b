"""What a run was trained on, image by image, and what each update took in since.

``images.csv`` holds the images that the run began with. ``updates.jsonl`` has a line for each
`lll update`, which is there as a whole or not at all, and says what is another since: so a run
stays what it was if a kill comes at any moment.
"""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from pydantic import ValidationError

from lll.data.facts import DataFacts
from lll.data.fingerprint import image_hashes
from lll.data.imageset import DataSet
from lll.errors import UserError
from lll.labels.events import LabelEvent
from lll.runs.files import append_durably
from lll.runs.schema import UpdateLine, complaint
from lll.words import cell_text, csv_text

IMAGES, UPDATES = "images.csv", "updates.jsonl"
HEAD = ("split", "id", "label", "hash")


class Image(NamedTuple):
    """An image of a run: its split, its id, the number of its class or -1, a hash of its pixels.

    The hash is empty where an earlier version did not record it.
    """

    split: str
    id: str
    label: int
    hash: str = ""


class Change(NamedTuple):
    """An image that is new, has another label or other pixels, and where the label is from.

    ``origin`` is empty where the label is the one it had.
    """

    split: str
    id: str
    label: int
    origin: str
    time: str
    hash: str = ""


@dataclass(frozen=True)
class Update:
    """What one update took in, and for how many ``epochs`` it went on training.

    ``facts`` are those of the data from then on: its classes are the earlier ones, in their
    places, then the new ones. ``gone`` are the ids of images that are not there any more.
    """

    epochs: int
    facts: DataFacts
    changes: tuple[Change, ...]
    gone: tuple[str, ...]


def image_bytes(data: DataSet) -> bytes:
    """The images of ``data`` as images.csv."""
    rows: list[tuple[object, ...]] = [HEAD]
    rows += images_of(data, np.concatenate([part.labels for part in data.parts.values()]))
    return csv_text(rows).encode(errors="surrogateescape")


def images_of(data: DataSet, labels: NDArray[np.int64]) -> list[Image]:
    """The images of all parts of ``data``, in their order, with ``labels`` [n]."""
    splits = [split for split, part in data.parts.items() for _ in range(len(part))]
    ids = [str(name) for part in data.parts.values() for name in part.ids]
    hashes = [
        row.tobytes().hex() for part in data.parts.values() for row in image_hashes(part.images)
    ]
    return [Image(*row) for row in zip(splits, ids, labels.tolist(), hashes, strict=True)]


def read_images(run: Path) -> dict[str, Image] | None:
    """The images that the run in folder ``run`` began with, by id; None where none are recorded."""
    path = run / IMAGES
    if not path.is_file():
        return None
    text = path.read_text(encoding="utf-8", errors="surrogateescape")
    try:
        rows = list(csv.reader(io.StringIO(text, newline="")))
        images = [
            Image(s, cell_text(name), int(label), *rest) for s, name, label, *rest in rows[1:]
        ]
    except (csv.Error, ValueError, TypeError) as error:
        raise UserError(
            f"{path}: not readable ({error}): restore this file, or begin a new run"
        ) from None
    return {image.id: image for image in images}


def images_now(began: Mapping[str, Image], updates: Iterable[Update]) -> dict[str, Image]:
    """The images of a run that ``began`` with some, after its ``updates``."""
    images = dict(began)
    for update in updates:
        for name in update.gone:
            images.pop(name, None)
        for change in update.changes:
            images[change.id] = Image(*change[:3], change.hash)
    return images


def read_updates(run: Path) -> tuple[Update, ...]:
    """The updates of the run in folder ``run``; half a last line is left out."""
    path = run / UPDATES
    if not path.is_file():
        return ()
    *lines, _half = path.read_bytes().split(b"\n")
    return tuple(_update(line, f"{path}: line {number}") for number, line in enumerate(lines, 1))


def _update(line: bytes, where: str) -> Update:
    try:
        found = UpdateLine.model_validate_json(line)
    except ValidationError as error:
        reason = complaint(error)
        raise UserError(
            f"{where} not readable ({reason}): restore this file, or begin a new run"
        ) from None
    facts = DataFacts(**found.facts.model_dump())
    return Update(found.epochs, facts, tuple(Change(*c) for c in found.changes), found.gone)


def append_update(run: Path, update: Update) -> None:
    """Add ``update`` to the record, durably; from then on it counts."""
    path = run / UPDATES
    if path.is_file():  # half a line that a kill left
        whole = path.read_bytes().rfind(b"\n") + 1
        with path.open("r+b") as file:
            file.truncate(whole)
    append_durably(path, (json.dumps(asdict(update)) + "\n").encode())


def update_events(epochs: int, updates: Sequence[Update]) -> list[LabelEvent]:
    """The labels that ``updates`` brought or took away, of a run that began with ``epochs``."""
    events = []
    for update in updates:
        for split, name, label, origin, time, _ in update.changes:
            if split != "test" and origin:
                who = "validation" if split == "validation" else origin
                events.append(LabelEvent(name, label, epochs, who, time))
        epochs += update.epochs
    return events
