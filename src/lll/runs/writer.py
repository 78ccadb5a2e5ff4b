"""The one process that may write into a run folder, and how a training does it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from lll.config import RunConfig
from lll.data.facts import DataFacts
from lll.errors import UserError
from lll.labels.events import LabelEvent
from lll.learn.position import Position
from lll.runs.card import write_card
from lll.runs.checkpoint import go_back, publish, write_checkpoint
from lll.runs.files import says_when_full
from lll.runs.folder import append_epoch, check_room, create_run, cut_back
from lll.runs.lock import LOCK, Lock, locked
from lll.runs.record import METRICS, Run, load_run
from lll.runs.state import Checkpoint


@dataclass
class Writer:
    """A run folder that this process holds.

    ``saved`` is where its last good checkpoint stands. What the folder has beyond that stays
    until the next one is whole (``settled``): an interrupted return to an earlier checkpoint
    loses nothing.
    """

    run: Run
    lock: Lock
    saved: Position | None = None
    settled: bool = False

    def go_on_from(self, position: Position) -> Run:
        """The run as it was at the checkpoint at ``position``; nothing is written yet."""
        done = len(self.run.metrics)
        if done < position.epoch:
            raise UserError(
                f"{self.run.path / METRICS}: holds {done} epochs, the checkpoint is {position}: "
                "restore this file, or begin a new run"
            )
        self.run.label_events()  # which are checked as they are read
        self.saved = position
        return replace(
            self.run,
            metrics=self.run.metrics[: position.epoch],
            timings=self.run.timings[: position.epoch],
        )

    def save(self, checkpoint: Checkpoint) -> None:
        """Make ``checkpoint`` the latest."""
        self.lock.check(self.saved)
        if checkpoint.position == self.saved:  # nothing is new
            go_back(self.run.path, self.saved)
            return
        whole = write_checkpoint(self.run.path, checkpoint)
        self._settle()
        self._publish(whole, checkpoint.position, chosen=False)

    def add_epoch(
        self,
        metrics: dict[str, Any],
        seconds: dict[str, float],
        events: Iterable[LabelEvent],
        checkpoint: Checkpoint,
        *,
        chosen: bool,
    ) -> None:
        """Record a finished epoch and make its ``checkpoint`` the latest, and `chosen` if it is."""
        self.lock.check(self.saved)
        whole = write_checkpoint(self.run.path, checkpoint)
        self._settle()
        append_epoch(self.run, metrics, seconds, events)
        if metrics["epoch"] + 1 == self.run.config.epochs:
            write_card(load_run(self.run.path))  # before the run counts as finished
        self._publish(whole, checkpoint.position, chosen=chosen)

    def _settle(self) -> None:
        """Drop from the record what the checkpoint that the run goes on from does not know."""
        if not self.settled:
            if self.saved is not None:
                go_back(self.run.path, self.saved)
            self.run = cut_back(self.run, self.saved.epoch if self.saved else 0)
            self.settled = True

    def _publish(self, whole: Path, position: Position, *, chosen: bool) -> None:
        publish(self.run.path, whole, position, chosen=chosen)
        self.saved = position


def check_out(path: Path, *, overwrite: bool) -> None:
    """UserError as `check_room` does, for a folder that no other process trains into."""
    if not (path / LOCK).is_file():  # no lock is put into a folder of the user's
        check_room(path, overwrite=overwrite)


@contextmanager
def begun(
    path: Path, config: RunConfig, data: DataFacts, *, overwrite: bool, images: bytes | None = None
) -> Iterator[Writer]:
    """A new run at ``path``; UserError as `check_room` and `locked` do."""
    check_out(path, overwrite=overwrite)
    with says_when_full(path):
        path.mkdir(parents=True, exist_ok=True)
    with locked(path) as lock:
        run = create_run(path, config, data, overwrite=overwrite, images=images)
        yield Writer(run, lock, settled=True)


@contextmanager
def reopened(path: Path) -> Iterator[Writer]:
    """The run at ``path``, to go on with; UserError as `load_run` and `locked` do."""
    load_run(path)  # before a lock is put there
    with locked(path) as lock:
        yield Writer(load_run(path), lock)
