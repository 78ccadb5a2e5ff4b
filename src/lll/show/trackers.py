"""A run's figures in TensorBoard, trackio, MLflow or Weights & Biases, beside its own record.

Each is an extra of its own name. To add one: a function that begins it, and a line in `TRACKERS`.
"""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, redirect_stdout
from dataclasses import dataclass, replace
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

from lll.errors import UserError, lookup

if TYPE_CHECKING:
    from lll.learn.prepare import Prepared
    from lll.learn.progress import Watch
    from lll.runs import Run

PROJECT = "lll"  # where a tracker keeps runs by project or experiment
Figures = Mapping[str, float]
Log = Callable[[Figures, int], Any]
"""(figures by name, epoch from 0): record them."""
Begin = Callable[["Run"], tuple[Log, Callable[[], Any]]]
"""A run -> what records the figures of an epoch, and what ends the recording."""


def _tensorboard(run: Run) -> tuple[Log, Callable[[], Any]]:
    """Event files in the run's folder; a resumed run goes on in the same."""
    from torch.utils.tensorboard import SummaryWriter

    folder = str(run.path / "tensorboard")
    writer = SummaryWriter(folder, purge_step=len(run.metrics))

    def log(figures: Figures, epoch: int) -> None:
        for name, value in figures.items():
            writer.add_scalar(name, value, epoch)
        writer.flush()

    return log, writer.close


def _trackio(run: Run) -> tuple[Log, Callable[[], Any]]:
    """A run of trackio's own store (TRACKIO_DIR), by the name of the folder."""
    import trackio

    opened = trackio.init(
        project=PROJECT, name=run.path.name, config=run.config.to_dict(), resume="allow"
    )
    # Its own `finish`, or it would finish the run again when Python ends, and say so.
    return lambda figures, epoch: opened.log(dict(figures), step=epoch), trackio.finish


def _mlflow(run: Run) -> tuple[Log, Callable[[], Any]]:
    """A run of MLflow's store (MLFLOW_TRACKING_URI), in the experiment ``lll``."""
    from mlflow import MlflowClient
    from mlflow.entities import Metric, Param

    client = MlflowClient()
    found = client.get_experiment_by_name(PROJECT)
    experiment = found.experiment_id if found else client.create_experiment(PROJECT)
    opened = client.create_run(experiment, run_name=run.path.name).info.run_id
    settings = [Param(name, str(value)) for name, value in run.config.to_dict().items()]
    client.log_batch(opened, params=settings)

    def log(figures: Figures, epoch: int) -> None:
        now = int(1000 * time.time())
        rows = [Metric(name, value, now, epoch) for name, value in figures.items()]
        client.log_batch(opened, metrics=rows)

    return log, lambda: client.set_terminated(opened)


def _wandb(run: Run) -> tuple[Log, Callable[[], Any]]:
    """A run of Weights & Biases in the run's folder, offline unless WANDB_MODE says otherwise."""
    import wandb

    opened = wandb.init(
        project=PROJECT,
        name=run.path.name,
        dir=run.path,
        config=run.config.to_dict(),
        mode=os.environ.get("WANDB_MODE", "offline"),
        settings=wandb.Settings(silent=True, console="off"),
    )
    return lambda figures, epoch: opened.log(dict(figures), step=epoch), opened.finish


@dataclass(frozen=True)
class Tracker:
    """The package that must be installed, and how a run is begun in it."""

    package: str
    begin: Begin


TRACKERS: Mapping[str, Tracker] = {
    "tensorboard": Tracker("tensorboard", _tensorboard),
    "trackio": Tracker("trackio", _trackio),
    "mlflow": Tracker("mlflow", _mlflow),
    "wandb": Tracker("wandb", _wandb),
}


@contextmanager
def tracked(watch: Watch, names: Sequence[str]) -> Iterator[Watch]:
    """``watch``, which also records every scalar of an epoch with the trackers called ``names``.

    What they print goes to standard error. Raises UserError for an unknown name, and for one
    that is not installed.
    """
    begins = [_installed(name) for name in dict.fromkeys(names)]
    logs: list[Log] = []
    with ExitStack() as closing:

        def on_plan(prepared: Prepared, run: Run) -> None:
            for begin in begins:
                log, close = _aside(begin, run)
                closing.callback(_aside, close)
                logs.append(log)
            watch.on_plan(prepared, run)

        def on_epoch(metrics: dict[str, Any], seconds: dict[str, float]) -> None:
            figures = {
                name: float(value)
                for name, value in (metrics | seconds).items()
                if isinstance(value, int | float) and name != "epoch"
            }
            for log in logs:
                _aside(log, figures, metrics["epoch"])
            watch.on_epoch(metrics, seconds)

        yield replace(watch, on_plan=on_plan, on_epoch=on_epoch)


def _installed(name: str) -> Begin:
    tracker = lookup(TRACKERS, name, "tracker")
    if find_spec(tracker.package) is None:
        raise UserError(f"{name} is not installed: pip install 'little-label-learners[{name}]'")
    return tracker.begin


def _aside(call: Callable[..., Any], *arguments: Any) -> Any:
    """``call(*arguments)``; standard output is for results."""
    with redirect_stdout(sys.stderr):
        return call(*arguments)
