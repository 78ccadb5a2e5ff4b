"""How a run is shown while it trains, and how a signal stops it."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, replace
from types import FrameType
from typing import TYPE_CHECKING, Any

import typer

from lll.cli.loading import image_bar
from lll.cli.show import say_plan
from lll.cli.signals import Interrupted, stop_signals
from lll.cli.terminal import calm, complain, console, say, say_json, stop_bar
from lll.words import count, percent

if TYPE_CHECKING:
    from lll.config import RunConfig
    from lll.learn.prepare import Prepared
    from lll.learn.progress import Watch
    from lll.ranks import Ranks
    from lll.runs import Run


@contextmanager
def watching(
    quiet: bool, as_json: bool, ranks: Ranks, *, trackers: Sequence[str] = ()
) -> Iterator[Watch]:
    """Shows how a run trains, and turns `stop_signals` into a saved stop.

    Before the first step there is nothing to save, and they end the command at once. Of several
    ranks the first shows it. An error in the display does not stop training: it is raised at
    its end.
    """
    from lll.runs.train import RunStopped
    from lll.show.trackers import tracked

    received: list[int] = []
    training = False

    def remember(number: int, frame: FrameType | None) -> None:
        if not training:
            raise Interrupted(number)
        received.append(number)

    def should_stop() -> bool:
        nonlocal training
        training = True
        return bool(received)

    before = {number: signal.signal(number, remember) for number in stop_signals()}
    failures: list[Exception] = []
    try:
        tells = ranks.rank == 0
        with (
            _display(quiet or not tells, as_json and tells, should_stop) as watch,
            tracked(watch, trackers if tells else ()) as recorded,
        ):
            yield _unfailing(recorded, failures)
        if failures:
            raise failures[0]
    except RunStopped as stop:
        number = received[0] if received else signal.SIGTERM  # another rank received it
        if tells:
            name = signal.Signals(number).name
            complain(f"{name}: saved at {stop.position}; go on with `lll resume {stop.run}`", 0)
        raise typer.Exit(128 + number) from None
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def say_if_busy(config: RunConfig, quiet: bool) -> None:
    """Say that fewer threads may be faster, where steps on the CPU begin beside other work.

    The number is not changed: sums depend on it, so a run would depend on what else runs.
    """
    import torch

    from lll.learn.device import pick_device, threads_that_fit

    told = quiet or "OMP_NUM_THREADS" in os.environ or not hasattr(os, "getloadavg")
    if told or config.how.fit is not None or pick_device(config.device).type != "cpu":
        return
    load, cores = os.getloadavg()[0], os.cpu_count() or 1
    fitting = threads_that_fit(torch.get_num_threads(), load, cores)
    if fitting is not None:
        complain(
            f"this machine is busy (load {load:.1f} on {count(cores, 'core')}): if an epoch takes"
            f" long, OMP_NUM_THREADS={fitting} may be faster",
            0,
        )


def _unfailing(watch: Watch, failures: list[Exception]) -> Watch:
    """``watch``, which after its first failure shows nothing any more."""
    return replace(
        watch,
        on_plan=calm(watch.on_plan, failures),
        on_step=calm(watch.on_step, failures),
        on_epoch=calm(watch.on_epoch, failures),
        on_encode=calm(watch.on_encode, failures),
    )


@contextmanager
def _display(quiet: bool, as_json: bool, should_stop: Callable[[], bool]) -> Iterator[Watch]:
    from rich.progress import BarColumn, MofNCompleteColumn, TimeRemainingColumn
    from rich.progress import Progress as Bar

    from lll.learn.progress import Watch

    if as_json:
        yield Watch(
            on_plan=lambda prepared, run: _say_json_plan(prepared, run),
            on_epoch=lambda metrics, seconds: say_json({"event": "epoch", **metrics, **seconds}),
            should_stop=should_stop,
        )
        return
    if quiet:
        yield Watch(should_stop=should_stop)
        return
    columns = ("{task.description}", BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    bar = Bar(*columns, console=console(), transient=True)
    task = bar.add_task("")
    total = 0

    def on_plan(prepared: Prepared, run: Run) -> None:
        nonlocal total
        total = prepared.config.epochs
        say_plan(prepared)
        say(f"run      {run.path}")
        if run.metrics:
            say(f"resumed  after {len(run.metrics)} of {total} epochs")
        bar.start()

    def on_step(epoch: int, step: int, steps: int) -> None:
        bar.update(task, description=f"epoch {epoch + 1}/{total}", completed=step, total=steps)

    def on_epoch(metrics: dict[str, Any], seconds: dict[str, float]) -> None:
        say(_epoch_line(metrics, seconds, total))
        bar.reset(task)

    try:
        with image_bar("encoding with the frozen encoder", quiet=False) as on_encode:
            yield Watch(on_plan, on_step, on_epoch, should_stop, on_encode or (lambda *_: None))
    finally:
        stop_bar(bar)


def _epoch_line(metrics: dict[str, Any], seconds: dict[str, float], total: int) -> str:
    losses = "  ".join(
        f"{name.removesuffix('_loss')} {value:.3f}"
        for name, value in metrics.items()
        if name.endswith("_loss")
    )
    epoch = metrics["epoch"] + 1
    return (
        f"epoch {epoch:>{len(str(total))}}/{total}  {metrics['classes']} classes  "
        f"{metrics['labels_known']} labels  {losses}  "
        f"validation {percent(metrics['validation_accuracy'])}  "
        f"test {percent(metrics['test_accuracy'])}  {seconds['seconds']:.1f} s"
    )


def _say_json_plan(prepared: Prepared, run: Run) -> None:
    from lll.learn.prepare import plan_rows

    say_json(
        {
            "event": "plan",
            "run": str(run.path),
            "data": asdict(prepared.facts),
            "config": prepared.config.to_dict(),
            "epochs": plan_rows(prepared),
            "skipped": [asdict(skip) for skip in prepared.skipped],
            "unused": [asdict(group) for group in prepared.unused],
        }
    )
