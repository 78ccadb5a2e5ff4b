"""Reading data for a command: progress bars, and what was skipped."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from lll.cli.terminal import complain, console, stop_bar
from lll.words import visible

if TYPE_CHECKING:
    from rich.progress import Progress as Bar
    from rich.progress import ProgressColumn, TaskID

    from lll.config import RunConfig
    from lll.data import Progress
    from lll.data.imageset import DataSet, Skipped, Unused
    from lll.ranks import Ranks


def load_with_bar(
    config: RunConfig, *, cache: Path | None, quiet: bool, strict: bool = False, tells: bool = True
) -> DataSet:
    """The data set that ``config`` names, as it wants it, with a bar for a download.

    What is not used is said even if ``quiet``, unless another process ``tells``.
    """
    from lll.runs.train import data_of

    doing = "reading and encoding images" if config.freeze else "reading images"
    with (
        download_bar(config.data, quiet=quiet) as progress,
        image_bar(doing, quiet=quiet) as on_image,
    ):
        data = data_of(config, cache=cache, strict=strict, progress=progress, on_image=on_image)
    if tells:
        say_skipped(data.skipped)
        say_unused(data.unused)
    return data


def load_in_turn(
    config: RunConfig,
    ranks: Ranks,
    *,
    cache: Path | None,
    quiet: bool,
    strict: bool = False,
) -> DataSet:
    """`load_with_bar` by the first rank, then by the others, which find its cache."""
    if ranks.rank != 0:
        ranks.wait()
    tells = ranks.rank == 0
    data = load_with_bar(config, cache=cache, quiet=quiet or not tells, strict=strict, tells=tells)
    if ranks.rank == 0:
        ranks.wait()
    return data


def say_skipped(skipped: tuple[Skipped, ...]) -> None:
    """Say which images could not be read, if any."""
    if skipped:
        first = skipped[0]
        complain(
            f"images skipped: {len(skipped)}, first {first.path}: {first.reason} "
            "(`lll data info` lists them, --strict refuses them)",
            0,
        )


def say_unused(unused: tuple[Unused, ...]) -> None:
    """Say which files were not used, if any, by reason."""
    if unused:
        groups = "; ".join(f"{group.count} {group.reason}" for group in unused)
        total = sum(group.count for group in unused)
        complain(f"files not used: {total}: {groups} (`lll data info` names one of each)", 0)


@contextmanager
def download_bar(name: str, *, quiet: bool) -> Iterator[Progress | None]:
    """A progress bar on standard error that appears once there is something to download."""
    from rich.progress import DownloadColumn

    with _bar(f"downloading {visible(name)}", DownloadColumn()) as (bar, task):

        def update(done_bytes: int, total_bytes: int) -> None:
            bar.start()
            bar.update(task, completed=done_bytes, total=total_bytes or None)

        yield None if quiet else update


@contextmanager
def image_bar(doing: str, *, quiet: bool) -> Iterator[Callable[[int, int], None] | None]:
    """A progress bar on standard error: images done, how many a second, time left."""
    from rich.progress import MofNCompleteColumn

    with _bar(doing, MofNCompleteColumn(), "{task.fields[rate]}") as (bar, task):

        def update(done: int, total: int) -> None:
            if done < total:
                bar.start()
            speed = bar.tasks[task].speed
            rate = f"{speed:.0f} images/s" if speed else ""
            bar.update(task, completed=done, total=total, rate=rate)
            if done >= total:
                stop_bar(bar)

        yield None if quiet else update


@contextmanager
def _bar(doing: str, *counted: ProgressColumn | str) -> Iterator[tuple[Bar, TaskID]]:
    """A bar that is still to be started, with the columns that say how much is done."""
    from rich.progress import BarColumn, TextColumn, TimeRemainingColumn
    from rich.progress import Progress as Bar

    begins = TextColumn("{task.description}", markup=False), BarColumn()
    bar = Bar(*begins, *counted, TimeRemainingColumn(), console=console(err=True))
    try:
        yield bar, bar.add_task(doing, total=None, rate="")
    finally:
        stop_bar(bar)
