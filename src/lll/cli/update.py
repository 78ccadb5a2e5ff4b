"""``lll update``."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated

import typer

from lll.cli.flags import Cache, Json, Quiet, RunFolder
from lll.cli.loading import load_with_bar
from lll.cli.show import say_result
from lll.cli.terminal import say, say_json
from lll.cli.watching import watching
from lll.ranks import ALONE
from lll.words import percent, points

if TYPE_CHECKING:
    from lll.runs import Run


def update(
    run: RunFolder,
    epochs: Annotated[
        int | None,
        typer.Option(help="How long a method with steps goes on (as long as the run began with)."),
    ] = None,
    cache: Cache = None,
    quiet: Quiet = False,
    as_json: Json = False,
) -> None:
    """Take new photos, labels and classes of the folder into a run; old classes keep their places.

    A method that fits is fitted anew to all that is known, on the features that are kept; one
    that takes steps goes on. What a class is called, and which classes are one, is taken over too.
    """
    from lll.runs import load_run
    from lll.runs import update as updating
    from lll.runs.assess import check_finished

    before = load_run(run)
    check_finished(before)
    data = load_with_bar(before.config, cache=cache, quiet=quiet or as_json)
    _, news = updating.compared(before, data)
    if as_json:
        say_json({"event": "news", **asdict(news)})
    else:
        say(f"{run}: {news}")
    if not news:
        return
    with watching(quiet, as_json, ALONE) as watch:
        after, _ = updating.update(run, data=data, epochs=epochs, watch=watch, cache=cache)
    if not as_json:
        _say_difference(before, after)
    say_result(after, quiet, as_json)


def _say_difference(before: Run, after: Run) -> None:
    old, new = (one.metrics[-1]["test_accuracy"] for one in (before, after))
    if old is not None and new is not None:
        say(f"test accuracy {percent(old)} before, {percent(new)} now: {points(new - old)} points")
