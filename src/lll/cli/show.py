"""What the commands print: plans, epochs, results, tables, progress bars."""

from __future__ import annotations

import json
import logging
import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Any

import typer
from rich.console import Console

from lll.errors import UserError

if TYPE_CHECKING:
    from lll.config import RunConfig
    from lll.data import Progress
    from lll.data.imageset import DataSet, Skipped, Unused
    from lll.ranks import Ranks
    from lll.runs import Run
    from lll.runs.prepare import Prepared
    from lll.runs.train import Watch


def complain(message: str, code: int) -> int:
    """Print one line on standard error; the exit ``code``, for handing on."""
    print(f"lll: {' '.join(message.split())}", file=sys.stderr)  # noqa: T201
    return code


def say_warnings() -> None:
    """Let what the library warns of appear as the commands' own lines do."""
    handler = logging.StreamHandler()
    handler.setFormatter(logging.Formatter("lll: %(message)s"))
    logging.getLogger("lll").handlers = [handler]


def load_with_bar(
    source: str, config: RunConfig, *, cache: Path | None, quiet: bool, strict: bool = False
) -> DataSet:
    """The data set ``source`` as ``config`` wants it, with a bar for a download."""
    from lll.data import load_data

    with download_bar(source, quiet=quiet) as progress:
        data = load_data(
            source,
            cache=cache,
            image_size=config.image_size,
            test_share=config.test_share,
            strict=strict,
            progress=progress,
        )
    if not quiet:
        say_skipped(data.skipped)
        say_unused(data.unused)
    return data


def load_in_turn(
    source: str,
    config: RunConfig,
    processes: Ranks,
    *,
    cache: Path | None,
    quiet: bool,
    strict: bool = False,
) -> DataSet:
    """`load_with_bar` by the first process, then by the others, which find its cache."""
    if processes.rank != 0:
        processes.wait()
    quiet = quiet or processes.rank != 0
    data = load_with_bar(source, config, cache=cache, quiet=quiet, strict=strict)
    if processes.rank == 0:
        processes.wait()
    return data


def say_skipped(skipped: tuple[Skipped, ...]) -> None:
    """Mention images that could not be read, if any."""
    if skipped:
        first = skipped[0]
        complain(
            f"images skipped: {len(skipped)}, first {first.path}: {first.reason} "
            "(`lll data info` lists them, --strict refuses them)",
            0,
        )


def say_unused(unused: tuple[Unused, ...]) -> None:
    """Mention files that were passed over, if any, by reason."""
    if unused:
        groups = "; ".join(f"{group.count} {group.reason}" for group in unused)
        total = sum(group.count for group in unused)
        complain(f"files not used: {total}: {groups} (`lll data info` names one of each)", 0)


@contextmanager
def download_bar(name: str, *, quiet: bool) -> Iterator[Progress | None]:
    """A progress bar on standard error that appears once there is something to download."""
    from rich import progress

    if quiet:
        yield None
        return
    columns = (
        "{task.description}",
        progress.BarColumn(),
        progress.DownloadColumn(),
        progress.TimeRemainingColumn(),
    )
    bar = progress.Progress(*columns, console=Console(stderr=True))
    task = bar.add_task(f"downloading {name}", total=None)

    def update(done_bytes: int, total_bytes: int) -> None:
        bar.start()
        bar.update(task, completed=done_bytes, total=total_bytes or None)

    try:
        yield update
    finally:
        # A bar that never started would still print an empty line.
        if bar.live.is_started:
            bar.stop()


@contextmanager
def encoding_bar(name: str, *, quiet: bool) -> Iterator[Callable[[int, int], None] | None]:
    """A progress bar on standard error: images encoded, how many a second, time left."""
    from rich import progress

    if quiet:
        yield None
        return
    columns = (
        "{task.description}",
        progress.BarColumn(),
        progress.MofNCompleteColumn(),
        "{task.fields[rate]}",
        progress.TimeRemainingColumn(),
    )
    bar = progress.Progress(*columns, console=Console(stderr=True))
    task = bar.add_task(f"encoding with {name}", total=None, rate="")

    def update(done: int, total: int) -> None:
        bar.start()
        speed = bar.tasks[task].speed
        rate = f"{speed:.0f} images/s" if speed else ""
        bar.update(task, completed=done, total=total, rate=rate)

    try:
        yield update
    finally:
        if bar.live.is_started:
            bar.stop()


@contextmanager
def watching(quiet: bool, as_json: bool, processes: Ranks) -> Iterator[Watch]:
    """Looks on as a run trains, and turns Ctrl-C and SIGTERM into a saved stop.

    Of several processes the first tells of it.
    """
    from lll.runs.train import RunStopped

    received: list[int] = []

    def remember(number: int, frame: FrameType | None) -> None:
        received.append(number)

    before = {s: signal.signal(s, remember) for s in (signal.SIGINT, signal.SIGTERM)}
    try:
        tells = processes.rank == 0
        with _display(quiet or not tells, as_json and tells, lambda: bool(received)) as watch:
            yield watch
    except RunStopped as stop:
        number = received[0] if received else signal.SIGTERM  # another process received it
        if tells:
            name = signal.Signals(number).name
            complain(f"{name}: saved at {stop.position}; go on with `lll resume {stop.run}`", 0)
        raise typer.Exit(128 + number) from None
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


@contextmanager
def _display(quiet: bool, as_json: bool, should_stop: Callable[[], bool]) -> Iterator[Watch]:
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TimeRemainingColumn

    from lll.runs.train import Watch

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
    bar = Progress(*columns, transient=True)
    task = bar.add_task("")
    total = 0

    def on_plan(prepared: Prepared, run: Run) -> None:
        nonlocal total
        total = prepared.config.epochs
        say_plan(prepared)
        console = Console()
        console.print(f"run      {run.path}", highlight=False, soft_wrap=True)
        if run.metrics:
            console.print(f"resumed  after {len(run.metrics)} of {total} epochs", highlight=False)
        bar.start()

    def on_step(epoch: int, step: int, steps: int) -> None:
        bar.update(task, description=f"epoch {epoch + 1}/{total}", completed=step, total=steps)

    def on_epoch(metrics: dict[str, Any], seconds: dict[str, float]) -> None:
        bar.console.print(_epoch_line(metrics, seconds, total), highlight=False, soft_wrap=True)
        bar.reset(task)

    try:
        yield Watch(on_plan, on_step, on_epoch, should_stop)
    finally:
        # A bar that never started would still print an empty line.
        if bar.live.is_started:
            bar.stop()


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
        f"validation {_percent(metrics['validation_accuracy'])}  "
        f"test {_percent(metrics['test_accuracy'])}  {seconds['seconds']:.1f} s"
    )


def _percent(share: float | None) -> str:
    return "  –  " if share is None else f"{100 * share:.1f}%"


def say_plan(prepared: Prepared) -> None:
    """Data, method and the table of what is known when; long runs show every few epochs."""
    from rich import box
    from rich.table import Table

    from lll.runs.prepare import plan_rows

    console = Console()
    config, facts = prepared.config, prepared.facts
    console.print(
        f"data     {facts.name}: {len(facts.class_names)} classes, {facts.train} training, "
        f"{facts.validation} validation, {facts.test} test images",
        highlight=False,
    )
    for number, stage in enumerate(prepared.stages):
        steps = ", ".join(f"{step.name} → {' + '.join(step.reaches)}" for step in stage)
        title = f"{config.method}" if len(prepared.stages) == 1 else f"stage {number + 1}"
        console.print(f"method   {title}: {steps}", highlight=False)
    console.print(
        f"encoder  {config.encoder}, {config.activation}, width {config.width}, "
        f"on {prepared.device}, {config.epochs} epochs of batch size {config.batch_size}",
        highlight=False,
    )
    rows = plan_rows(prepared)
    table = Table(box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0))
    for heading in ("epoch", "classes", "labels", "unlabelled", "encoder rate", "probe rate"):
        table.add_column(heading, justify="right", no_wrap=True)
    table.add_column("known", no_wrap=True)
    most = max(row["labels_known"] + row["unlabelled"] for row in rows)
    every = -(-len(rows) // 24)
    for row in rows:
        if row["epoch"] % every and row is not rows[-1]:
            continue
        table.add_row(
            str(row["epoch"] + 1),
            str(row["classes"]),
            f"{row['labels_known']} ({100 * row['label_rate']:.0f}%)",
            str(row["unlabelled"]),
            f"{row['contrastive_rate']:.2g}",
            f"{row['probe_rate']:.2g}",
            _bar(row["labels_known"], row["unlabelled"], most),
        )
    console.print(table)


def _bar(labelled: int, unlabelled: int, most: int, width: int = 10) -> str:
    """Labelled images as full blocks, unlabelled ones as light ones, of ``most`` images."""
    full, both = (
        round(width * count / max(most, 1)) for count in (labelled, labelled + unlabelled)
    )
    return "█" * full + "░" * (both - full)


def _say_json_plan(prepared: Prepared, run: Run) -> None:
    from lll.runs.prepare import plan_rows

    say_json(
        {
            "event": "plan",
            "run": str(run.path),
            "data": asdict(prepared.facts),
            "config": prepared.config.to_dict(),
            "epochs": plan_rows(prepared),
        }
    )


def say_json(value: dict[str, Any]) -> None:
    """Print one JSON object on a line of standard output."""
    print(json.dumps(value), flush=True)  # noqa: T201


def say_result(run: Run, quiet: bool, as_json: bool) -> None:
    """Print what a finished run came to, and what to do next."""
    result = run.result
    if as_json:
        say_json({"event": "result", **result})
        return
    console = Console()
    chosen = result["chosen_epoch"]
    lines = [f"test accuracy {_percent(result['test_accuracy_final'])} after the final epoch"]
    if chosen is not None:
        lines.append(
            f"test accuracy {_percent(result['test_accuracy_chosen'])} after epoch "
            f"{chosen + 1}, chosen on validation"
        )
    lines.append(f"{result['seconds_per_epoch']:.1f} s per epoch")
    lines.append(f"run in {run.path}")
    for line in lines:
        console.print(line, highlight=False, soft_wrap=True)
    if not quiet:
        console.print(f"next: lll predict {run.path} IMAGES…", highlight=False, soft_wrap=True)


@contextmanager
def csv_target(out: Path | None) -> Iterator[Any]:
    """The file ``out``, or standard output; UserError if it cannot be written."""
    if out is None:
        yield sys.stdout
        return
    try:
        with out.open("w", newline="", encoding="utf-8") as file:
            yield file
    except OSError as error:
        raise UserError(f"{out}: cannot be written: {error.strerror}") from None
