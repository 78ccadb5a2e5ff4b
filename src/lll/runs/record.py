"""The run folder: what is in it, and how it is read. What is read is checked as a whole.

config.toml       the resolved configuration
data.json         class names, sizes and fingerprint of the data it was trained on
images.csv        the images of a folder, each with its split and label
updates.jsonl     what each `lll update` took in since
metrics.jsonl     one line per epoch; the same bytes for the same configuration
timings.jsonl     seconds per epoch, kept apart because they never repeat
labels.csv        every label event: id, label, epoch, origin, time (if somebody gave it)
README.md         the model card, once the run is finished (see `lll.runs.card`)
checkpoints/      weights and state (see `lll.runs.checkpoint`)
pictures/
"""

from __future__ import annotations

import csv
import io
import json
import re
from collections.abc import Container, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from lll.config import RunConfig, differing, read_toml
from lll.data.facts import DataFacts
from lll.errors import UserError
from lll.labels.events import LabelEvent
from lll.learn.position import Position
from lll.runs.schema import EpochMetrics, EpochTiming, Facts, complaint
from lll.runs.updates import Update, read_updates
from lll.words import cell_text, csv_text

CONFIG, DATA, METRICS, TIMINGS, LABELS = (
    "config.toml",
    "data.json",
    "metrics.jsonl",
    "timings.jsonl",
    "labels.csv",
)
LABEL_HEAD = "id,label,epoch,origin,time\n"
_FIRST_HEAD = "id,label,epoch,origin\n"  # of 0.1
_ODD_NAMES = "surrogateescape"  # file names are bytes


@dataclass(frozen=True)
class Run:
    """A run folder as read: configuration, facts of its data, metrics so far.

    ``metrics`` and ``timings`` hold one dictionary per finished epoch; ``latest`` is the
    name of the latest checkpoint. After ``updates``, ``config.epochs`` counts those of all of
    them, and ``data`` is of the last; ``began`` is the data that it began with.
    """

    path: Path
    config: RunConfig
    data: DataFacts
    metrics: tuple[dict[str, Any], ...]
    timings: tuple[dict[str, Any], ...]
    latest: str | None = None
    updates: tuple[Update, ...] = ()
    began: DataFacts | None = None

    @property
    def cycles(self) -> tuple[int, ...]:
        """Epochs that it began with, then those of each update."""
        more = tuple(update.epochs for update in self.updates)
        return self.config.epochs - sum(more), *more

    def classes_at(self, position: Position) -> tuple[str, ...]:
        """The classes that a checkpoint at ``position`` knows, the first of all that there are."""
        epoch = position.epoch + (1 if position.step else 0)
        return self.data.class_names[: len(self._facts_at(epoch - 1).class_names)]

    def _facts_at(self, epoch: int) -> DataFacts:
        """The facts of the data on which ``epoch`` was trained."""
        facts, end = self.began or self.data, self.cycles[0]
        for update in self.updates:
            if epoch < end:
                break
            facts, end = update.facts, end + update.epochs
        return facts

    def names_at(self, epoch: int) -> tuple[str, ...]:
        """The names that the classes had when ``epoch`` was trained."""
        return self._facts_at(epoch).class_names

    @property
    def finished(self) -> bool:
        """Whether every epoch of the configuration has been run, and what it gave is saved."""
        epochs = self.config.epochs
        return len(self.metrics) == epochs and self.latest == str(Position(epochs))

    @property
    def chosen_epoch(self) -> int | None:
        """The epoch with the best validation accuracy (the last of equals); None without."""
        return chosen_epoch(self.metrics, self.config.epochs - self.cycles[-1])

    @property
    def result(self) -> dict[str, Any]:
        """Test accuracies in [0, 1], of the final epoch and of the chosen one, labels and seconds.

        Raises UserError before the first epoch is finished.
        """
        if not self.metrics:
            raise UserError(f"{self.path}: no epoch is finished yet: go on with `lll resume`")
        last, chosen = self.metrics[-1], self.chosen_epoch
        seconds = [timing["seconds"] for timing in self.timings]
        return {
            "epochs": len(self.metrics),
            "finished": self.finished,
            "test_accuracy_final": last["test_accuracy"],
            "chosen_epoch": chosen,
            "test_accuracy_chosen": None
            if chosen is None
            else self.metrics[chosen]["test_accuracy"],
            "labels_known": last["labels_known"],
            "labels_to_choose": last.get("labels_to_choose"),
            "seconds_per_epoch": sum(seconds) / max(len(seconds), 1),
            "run": str(self.path),
        }

    def label_events(self) -> list[LabelEvent]:
        """Every label that became known, in the order in which it did."""
        path = self.path / LABELS
        events: list[LabelEvent] = []
        by_names: dict[tuple[str, ...], dict[str, int]] = {}
        for number, row in enumerate(_label_rows(path), 2):
            before = events[-1].epoch if events else 0
            names = self.names_at(int(row[2]) if _is_epoch(row[2:3]) else before)
            if names not in by_names:
                by_names[names] = {name: at for at, name in enumerate(names)}
            index = by_names[names]
            if fault := _fault_of(row, index, before, self.config.epochs):
                raise _damaged(path, f"row {number}: {fault}")
            events.append(LabelEvent(row[0], index[row[1]], int(row[2]), *row[3:]))
        return events


def chosen_epoch(metrics: Iterable[dict[str, Any]], since: int = 0) -> int | None:
    """The epoch, from ``since`` on, with the best validation accuracy; None without any.

    Of equals the last, which knew the most labels.
    """
    scores = [
        (m["validation_accuracy"], m["epoch"])
        for m in metrics
        if m["epoch"] >= since and _scored(m)
    ]
    return max(scores)[1] if scores else None


def _scored(metrics: dict[str, Any]) -> bool:
    return metrics["validation_accuracy"] is not None


def load_run(path: str | Path) -> Run:
    """Read the run folder at ``path``; UserError if it is none or cannot be read.

    >>> load_run("nowhere")
    Traceback (most recent call last):
        ...
    lll.errors.UserError: nowhere: no run folder here (it has no config.toml): check the path
    """
    path = Path(path)
    if not (path / CONFIG).is_file():
        raise UserError(f"{path}: no run folder here (it has no {CONFIG}): check the path")
    try:
        config = RunConfig.recorded(read_toml(path / CONFIG))
    except UserError as error:
        raise UserError(f"{path / CONFIG}: {error}") from None
    try:
        facts = Facts.model_validate_json(_bytes(path / DATA)).model_dump()
        data = DataFacts(**facts)
    except ValidationError as error:
        raise _damaged(path / DATA, complaint(error)) from None
    updates, began = read_updates(path), data
    if updates:
        more = sum(update.epochs for update in updates)
        config = config.model_copy(update={"epochs": config.epochs + more})
        data = updates[-1].facts
    pointer = path / "checkpoints" / "latest"
    latest = pointer.read_text(errors="replace").strip() if pointer.is_file() else None
    metrics = _read_lines(path / METRICS, EpochMetrics)
    timings = _read_lines(path / TIMINGS, EpochTiming)
    run = Run(path, config, data, metrics, timings, latest, updates, began)
    for number, line in enumerate(metrics, 1):
        _fill_classes(line["test_accuracy_per_class"], run, number)
    return run


def _fill_classes(per_class: list[float | None], run: Run, number: int) -> None:
    """Add the classes that came later to the accuracies of line ``number`` of metrics.jsonl."""
    known, names = len(run.names_at(number - 1)), run.data.class_names
    if not known <= len(per_class) <= len(names):  # a later update may have added to it
        raise _damaged(run.path / METRICS, f"line {number} is not of the {known} classes of {DATA}")
    per_class += [None] * (len(names) - len(per_class))


def check_same_config(run: Run, saved: dict[str, Any]) -> None:
    """UserError if the checkpoint's configuration ``saved`` is not the run's, where it has one."""
    if not saved:
        return
    free = ["data", "device", "precision"]  # a run may go on elsewhere; data have a fingerprint
    free += ["epochs"] if run.updates else []
    ours, theirs = run.config.to_dict(), RunConfig.recorded(saved).to_dict()
    fields = [field for field in differing(ours, theirs) if field not in free]
    if fields:
        field = fields[0]
        raise UserError(
            f"{run.path / CONFIG}: {field} is {ours.get(field)!r}, but the "
            f"checkpoint was made with {theirs.get(field)!r}: put it back, or begin a new run"
        )


def metrics_bytes(metrics: dict[str, Any]) -> bytes:
    """A line of metrics.jsonl that can be read again."""
    line = (json.dumps(metrics) + "\n").encode()
    EpochMetrics.model_validate_json(line)
    return line


def _read_lines(path: Path, schema: type[EpochMetrics | EpochTiming]) -> tuple[dict[str, Any], ...]:
    """The JSON lines of a file, each of the epoch after; half a last line is left out."""
    *lines, _half = _bytes(path).split(b"\n")
    for epoch, line in enumerate(lines):
        try:
            found = schema.model_validate_json(line).epoch
        except ValidationError as error:
            raise _damaged(path, f"line {epoch + 1}: {complaint(error)}") from None
        if found != epoch:
            twice = "; did two processes write it?" if found < epoch else ""
            raise _damaged(path, f"line {epoch + 1} is of epoch {found}, not {epoch}{twice}")
    return tuple(json.loads(line) for line in lines)


def label_bytes(events: Iterable[LabelEvent], run: Run) -> bytes:
    """Rows of labels.csv."""
    rows = ((e.id, run.names_at(e.epoch)[e.label], e.epoch, e.origin, e.time) for e in events)
    return csv_text(rows).encode(errors=_ODD_NAMES)


def _label_rows(path: Path) -> list[list[str]]:
    """The rows of labels.csv after its head; half a last row is left out."""
    text = _bytes(path).decode(errors=_ODD_NAMES)
    try:
        rows = list(csv.reader(io.StringIO(text, newline="")))
    except csv.Error as error:
        raise _damaged(path, str(error)) from None
    if not text.endswith("\n") or text.count('"') % 2:
        del rows[-1:]
    if not rows or ",".join(rows[0]) + "\n" not in (LABEL_HEAD, _FIRST_HEAD):
        raise _damaged(path, f"its first row is not {LABEL_HEAD.strip()!r}")
    return [[cell_text(cell) for cell in row] for row in rows[1:]]


def _fault_of(row: list[str], classes: Container[str], least: int, end: int) -> str | None:
    """What is wrong with a row of labels.csv, which is of an epoch from ``least`` to ``end``."""
    if len(row) not in (4, 5) or not all(row[:4]):
        return "not an id, a label, an epoch and an origin"
    if row[1] not in classes:
        return f"no class {row[1]!r} in {DATA}"
    if not _is_epoch(row[2:3]) or not least <= int(row[2]) < end:
        return f"epoch {row[2]!r} is not from {least} to {end - 1}"
    return None


def _is_epoch(cell: list[str]) -> bool:
    return bool(cell) and re.fullmatch("[0-9]{1,9}", cell[0]) is not None


def _bytes(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise UserError(f"{path}: not readable ({error.strerror}): check permissions") from None


def _damaged(path: Path, fault: str) -> UserError:
    return UserError(f"{path}: not readable ({fault}): restore this file, or begin a new run")
