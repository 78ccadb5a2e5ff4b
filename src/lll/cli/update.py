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
from lll.words import percent, points

if TYPE_CHECKING:
    from lll.runs import Run


def update(
    run: RunFolder,
    epochs: Annotated[
        int | None,
        typer.Option(
            help="Epochs to go on for, of a method that takes steps (as many as at first)."
        ),
    ] = None,
    cache: Cache = None,
    quiet: Quiet = False,
    as_json: Json = False,
) -> None:
    """Take new photos, labels and classes of the folder into a run; old classes keep their places.

    A method that fits, as auto does, is fitted again to all that is known; one that takes steps
    goes on from where it was. Renamed and merged classes are taken over too.
    """
    from lll.ranks import ALONE
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
