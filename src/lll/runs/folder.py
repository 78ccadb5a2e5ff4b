"""The run folder: how it is begun, extended, and cut back to where a run goes on."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterable
from dataclasses import asdict
from pathlib import Path
from typing import Any

from lll.config import RunConfig
from lll.data.facts import DataFacts
from lll.errors import UserError
from lll.labels.events import LabelEvent
from lll.learn.position import Position
from lll.runs.files import append_durably, says_when_full, write_durably
from lll.runs.lock import LOCK
from lll.runs.record import (
    CONFIG,
    DATA,
    LABEL_HEAD,
    LABELS,
    METRICS,
    TIMINGS,
    Run,
    label_bytes,
    load_run,
    metrics_bytes,
)
from lll.runs.updates import IMAGES

# There while a run folder is being begun: what a kill leaves then is known to be ours.
_BEGUN = ".begun.tmp"
# All that a run has in which no epoch has been trained.
_FIRST = {
    *(CONFIG, DATA, IMAGES, LABELS, METRICS, TIMINGS, _BEGUN),
    *("checkpoints", "tensorboard", "wandb"),
}


def create_run(
    path: Path, config: RunConfig, data: DataFacts, *, overwrite: bool, images: bytes | None = None
) -> Run:
    """Begin a run folder at ``path``; ``images`` are the bytes of images.csv, if it has one.

    Raises UserError as `check_room` does; ``overwrite`` replaces an earlier run.
    """
    check_room(path, overwrite=overwrite)
    with says_when_full(path):
        path.mkdir(parents=True, exist_ok=True)
        _clear(path)
        (path / _BEGUN).touch()
        (path / "checkpoints").mkdir()
    write_durably(path / DATA, (json.dumps(asdict(data), indent=1) + "\n").encode())
    if images is not None:
        write_durably(path / IMAGES, images)
    write_durably(path / LABELS, LABEL_HEAD.encode())
    write_durably(path / METRICS, b"")
    write_durably(path / TIMINGS, b"")
    # Last, because a folder with a configuration counts as a run.
    write_durably(path / CONFIG, config.to_toml().encode())
    (path / _BEGUN).unlink()
    return load_run(path)


def check_room(path: Path, *, overwrite: bool) -> None:
    """UserError if something is at ``path`` that a new run may not replace.

    It may replace the beginning of a run, and a run in which no epoch has been trained;
    with ``overwrite`` any run, and nothing but a run.
    """
    with says_when_full(path):
        names = {entry.name for entry in path.iterdir()} - {LOCK} if path.is_dir() else set()
        if not names and not path.is_file():
            return
    is_run = CONFIG in names
    if (_BEGUN in names and not is_run) or (is_run and _untrained(path, names)):
        return
    if not overwrite:
        raise UserError(
            f"{path}: exists already: choose another --out, go on with `lll resume {path}`, "
            "or give --overwrite"
        )
    if not is_run:
        raise UserError(f"{path}: is not a run folder, and --overwrite replaces run folders only")


def _untrained(path: Path, names: set[str]) -> bool:
    """Whether nothing is lost with this run: no epoch, no checkpoint but that of the beginning."""
    metrics, latest = path / METRICS, path / "checkpoints" / "latest"
    if not names <= _FIRST or (metrics.exists() and metrics.read_bytes()):
        return False
    return not latest.exists() or latest.read_bytes().strip() == str(Position(0)).encode()


def _clear(path: Path) -> None:
    """Remove all that is in the folder of a run, but not its lock."""
    for entry in path.iterdir():
        if entry.is_dir() and not entry.is_symlink():
            shutil.rmtree(entry)
        elif entry.name not in (CONFIG, _BEGUN, LOCK):
            entry.unlink()
    # Last, so that what a kill leaves can still be told from a folder that is no run.
    for name in (CONFIG, _BEGUN):
        (path / name).unlink(missing_ok=True)


def append_epoch(
    run: Run, metrics: dict[str, Any], seconds: dict[str, float], events: Iterable[LabelEvent]
) -> None:
    """Add a finished epoch: its label events, its timings and its metrics, in that order."""
    line, timing = metrics_bytes(metrics), {"epoch": metrics["epoch"], **seconds}
    append_durably(run.path / LABELS, label_bytes(events, run))
    append_durably(run.path / TIMINGS, (json.dumps(timing) + "\n").encode())
    append_durably(run.path / METRICS, line)


def cut_back(run: Run, epochs: int) -> Run:
    """The run with only its first ``epochs`` epochs on record, in memory and on disk.

    What was written after the last checkpoint (a half line too) is dropped: the epochs
    run again.
    """
    for stale in run.path.glob(".*.tmp"):
        stale.unlink()
    events = [event for event in run.label_events() if event.epoch < epochs]
    for name, lines in ((METRICS, run.metrics), (TIMINGS, run.timings)):
        kept = [json.dumps(line) + "\n" for line in lines[:epochs]]
        write_durably(run.path / name, "".join(kept).encode())
    rows = label_bytes(events, run)
    write_durably(run.path / LABELS, LABEL_HEAD.encode() + rows)
    return load_run(run.path)
