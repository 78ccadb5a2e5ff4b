"""The run folder: what is in it, how it is begun, extended and read.

config.toml       the resolved configuration
data.json         class names, sizes and fingerprint of the data it was trained on
metrics.jsonl     one line per epoch; the same bytes for the same configuration
timings.jsonl     seconds per epoch, kept apart because they never repeat
labels.csv        every label event: id, label, epoch, origin
checkpoints/      weights and state (see `lll.runs.checkpoint`)
pictures/
"""

from __future__ import annotations

import csv
import io
import json
import shutil
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from lll.config import RunConfig, differing, read_toml
from lll.errors import UserError
from lll.labels.events import LabelEvent
from lll.runs.files import append_durably, says_when_full, write_durably
from lll.runs.position import Position

_CONFIG, _DATA, _METRICS, _TIMINGS, _LABELS = (
    "config.toml",
    "data.json",
    "metrics.jsonl",
    "timings.jsonl",
    "labels.csv",
)
# There while a run folder is being begun: what a kill leaves then is known to be ours.
_BEGUN = ".begun.tmp"
_LABEL_COLUMNS = ("id", "label", "epoch", "origin")


@dataclass(frozen=True)
class DataFacts:
    """What a run remembers of its data, enough to predict without it and to know it again.

    ``fingerprint`` is a hash of the ids and pixels of the training and test images, ``labels``
    one of their labels ("" in runs of 0.1, whose fingerprint stood for both).
    """

    name: str
    class_names: tuple[str, ...]
    train: int
    validation: int
    test: int
    fingerprint: str
    labels: str = ""


@dataclass(frozen=True)
class Run:
    """A run folder as read: configuration, facts of its data, metrics so far.

    ``metrics`` and ``timings`` hold one dictionary per finished epoch; ``latest`` is the
    name of the latest checkpoint.
    """

    path: Path
    config: RunConfig
    data: DataFacts
    metrics: tuple[dict[str, Any], ...]
    timings: tuple[dict[str, Any], ...]
    latest: str | None = None

    @property
    def finished(self) -> bool:
        """Whether every epoch of the configuration has been run, and what it gave is saved."""
        epochs = self.config.epochs
        return len(self.metrics) == epochs and self.latest == str(Position(epochs))

    @property
    def chosen_epoch(self) -> int | None:
        """The epoch with the best validation accuracy (the last of equals); None without."""
        return chosen_epoch(self.metrics)

    @property
    def result(self) -> dict[str, Any]:
        """Final-epoch test accuracy, that of the epoch chosen on validation, and time."""
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
            "seconds_per_epoch": sum(seconds) / max(len(seconds), 1),
            "run": str(self.path),
        }

    def label_events(self) -> list[LabelEvent]:
        """Every label that became known, in the order in which it did."""
        names = {name: index for index, name in enumerate(self.data.class_names)}
        with (self.path / _LABELS).open(newline="", encoding="utf-8") as file:
            return [
                LabelEvent(row["id"], names[row["label"]], int(row["epoch"]), row["origin"])
                for row in csv.DictReader(file)
            ]


def chosen_epoch(metrics: Iterable[dict[str, Any]]) -> int | None:
    """The epoch with the best validation accuracy; None without any.

    Of equals the last, which knew the most labels.
    """
    scores = [(m["validation_accuracy"], m["epoch"]) for m in metrics if _scored(m)]
    return max(scores)[1] if scores else None


def _scored(metrics: dict[str, Any]) -> bool:
    return metrics["validation_accuracy"] is not None


def create_run(path: Path, config: RunConfig, data: DataFacts, *, overwrite: bool) -> Run:
    """Begin a run folder at ``path``.

    Raises UserError if something is there already; ``overwrite`` replaces an earlier run,
    and nothing but a run.
    """
    with says_when_full(path):
        if path.exists() and (not path.is_dir() or any(path.iterdir())):
            _make_room(path, overwrite)
        path.mkdir(parents=True, exist_ok=True)
        (path / _BEGUN).touch()
        (path / "checkpoints").mkdir()
    header = (",".join(_LABEL_COLUMNS) + "\n").encode()
    write_durably(path / _DATA, (json.dumps(asdict(data), indent=1) + "\n").encode())
    write_durably(path / _LABELS, header)
    write_durably(path / _METRICS, b"")
    write_durably(path / _TIMINGS, b"")
    # Last, because a folder with a configuration counts as a run.
    write_durably(path / _CONFIG, config.to_toml().encode())
    (path / _BEGUN).unlink()
    return load_run(path)


def _make_room(path: Path, overwrite: bool) -> None:
    """Remove the run in ``path``, or the beginning of one; UserError for anything else."""
    is_run = (path / _CONFIG).is_file()
    if is_run or not (path / _BEGUN).is_file():
        if not overwrite:
            raise UserError(
                f"{path}: exists already: choose another --out, go on with `lll resume {path}`, "
                "or give --overwrite"
            )
        if not is_run:
            raise UserError(f"{path}: is no run folder, so --overwrite leaves it alone")
    for entry in path.iterdir():
        if entry.is_dir() and not entry.is_symlink():
            shutil.rmtree(entry)
        elif entry.name not in (_CONFIG, _BEGUN):
            entry.unlink()
    # Last, so that what a kill leaves can still be told from a folder that is no run.
    for name in (_CONFIG, _BEGUN):
        (path / name).unlink(missing_ok=True)


def load_run(path: str | Path) -> Run:
    """Read the run folder at ``path``; UserError if it is none or cannot be read.

    >>> load_run("nowhere")
    Traceback (most recent call last):
        ...
    lll.errors.UserError: nowhere: no run folder here (it has no config.toml)
    """
    path = Path(path)
    if not (path / _CONFIG).is_file():
        raise UserError(f"{path}: no run folder here (it has no {_CONFIG})")
    try:
        config = RunConfig(**read_toml(path / _CONFIG))
    except UserError as error:
        raise UserError(f"{path / _CONFIG}: {error}") from None
    try:
        facts = json.loads((path / _DATA).read_text(encoding="utf-8"))
        data = DataFacts(**(facts | {"class_names": tuple(facts["class_names"])}))
    except (OSError, ValueError, TypeError, KeyError) as error:
        raise UserError(f"{path / _DATA}: not readable: {error}") from None
    try:
        latest = (path / "checkpoints" / "latest").read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError):
        latest = None
    metrics, timings = (tuple(_read_lines(path, name)) for name in (_METRICS, _TIMINGS))
    return Run(path, config, data, metrics, timings, latest)


def append_epoch(
    run: Run, metrics: dict[str, Any], seconds: dict[str, float], events: Iterable[LabelEvent]
) -> None:
    """Add a finished epoch: its label events, its timings and its metrics, in that order."""
    rows = io.StringIO()
    writer = csv.writer(rows, lineterminator="\n")
    for event in events:
        writer.writerow((event.id, run.data.class_names[event.label], event.epoch, event.origin))
    append_durably(run.path / _LABELS, rows.getvalue().encode())
    timing = {"epoch": metrics["epoch"], **seconds}
    append_durably(run.path / _TIMINGS, (json.dumps(timing) + "\n").encode())
    append_durably(run.path / _METRICS, (json.dumps(metrics) + "\n").encode())


def cut_back(run: Run, epochs: int) -> Run:
    """The run with only its first ``epochs`` epochs on record, in memory and on disk.

    What was written after the last checkpoint (a half line too) is dropped: the epochs
    run again.
    """
    for stale in run.path.glob(".*.tmp"):
        stale.unlink()
    for name in (_METRICS, _TIMINGS):
        kept = [json.dumps(line) + "\n" for line in _read_lines(run.path, name)[:epochs]]
        write_durably(run.path / name, "".join(kept).encode())
    try:
        events = (run.path / _LABELS).read_bytes().decode("utf-8", errors="replace")
    except OSError as error:
        raise UserError(f"{run.path / _LABELS}: not readable: {error.strerror}") from None
    kept_rows = io.StringIO()
    writer = csv.writer(kept_rows, lineterminator="\n")
    writer.writerow(_LABEL_COLUMNS)
    for row in list(csv.reader(io.StringIO(events)))[1:]:
        if len(row) == len(_LABEL_COLUMNS) and row[2].isdecimal() and int(row[2]) < epochs:
            writer.writerow(row)
    write_durably(run.path / _LABELS, kept_rows.getvalue().encode())
    return load_run(run.path)


def check_same_config(run: Run, saved: dict[str, Any]) -> None:
    """UserError if the checkpoint's configuration ``saved`` is not the run's."""
    free = ("device", "precision")  # a run may go on elsewhere
    fields = [f for f in differing(run.config.to_dict(), saved) if f not in free]
    if fields:
        field = fields[0]
        raise UserError(
            f"{run.path / _CONFIG}: {field} is {run.config.to_dict().get(field)!r}, but the "
            f"checkpoint was made with {saved.get(field)!r}: put it back, or begin a new run"
        )


def _read_lines(path: Path, name: str) -> list[dict[str, Any]]:
    """The JSON lines of a file, up to a last one that a kill may have left half written."""
    try:
        text = (path / name).read_text(encoding="utf-8", errors="replace")
    except OSError as error:
        raise UserError(f"{path / name}: not readable: {error.strerror}") from None
    lines: list[dict[str, Any]] = []
    for line in text.splitlines():
        try:
            lines.append(json.loads(line))
        except ValueError:
            break
    return lines
