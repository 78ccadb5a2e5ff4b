"""``lll train``, ``lll resume``, ``lll schedule``."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from lll.cli.flags import (
    Cache,
    Json,
    Quiet,
    RunFolder,
    Source,
    Strict,
    names_in_help,
    read_config,
    takes_config,
)
from lll.cli.loading import load_in_turn, load_with_bar
from lll.cli.show import say_plan, say_result
from lll.cli.terminal import say, say_json
from lll.cli.watching import say_if_busy, watching
from lll.errors import UserError

if TYPE_CHECKING:
    from lll.config import RunConfig

Tensorboard = Annotated[
    bool, typer.Option("--tensorboard", help="As --track tensorboard: event files in the run.")
]
Track = Annotated[
    list[str] | None,
    typer.Option(
        metavar="NAME",
        help="Record the figures in a tracker too (repeat for more).",
    ),
]


@takes_config
@names_in_help(rules="lll.labels.schedule:RULES", trackers="lll.show.trackers:TRACKERS")
def train(
    source: Source = None,
    *,
    out: Annotated[
        Path | None, typer.Option(help="Run folder to make (runs/DATA-METHOD-seedN).")
    ] = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace an earlier run.")] = False,
    resume_if_exists: Annotated[
        bool,
        typer.Option(
            "--resume-if-exists",
            help="Go on with the run of the same settings that the run folder holds, if any.",
        ),
    ] = False,
    strict: Strict = False,
    cache: Cache = None,
    quiet: Quiet = False,
    as_json: Json = False,
    track: Track = None,
    tensorboard: Tensorboard = False,
    **flags: str | None,
) -> None:
    """Train a classifier on DATA. Every setting is a flag, or a key of that name in CONFIG.toml.

    Ranges are written low:high, as in --classes 8:10 or --labels 0.01:0.9; a rule may follow,
    as in 0.01:0.9:linear ({rules}); --labels 4/class
    counts per class; 0=5,10=8 lists epoch=value. Defaults depend on the method and the data.
    Trackers: {trackers}.
    """
    config = read_config(source, flags)
    from lll.learn.device import backend_of
    from lll.ranks import joined
    from lll.runs import train as training
    from lll.runs.resume import earlier_run
    from lll.runs.writer import check_out

    training.check_names(config)
    out = out or Path("runs") / _default_name(config)
    if resume_if_exists and overwrite:
        raise UserError("give --resume-if-exists or --overwrite, not both")
    if resume_if_exists and earlier_run(config, out) is not None:
        resume(out, cache=cache, quiet=quiet, as_json=as_json, track=track, tensorboard=tensorboard)
        return
    overwrite = overwrite or resume_if_exists
    with joined(os.environ, backend_of(config.device)) as ranks:
        if training.writes(ranks):
            check_out(out, overwrite=overwrite)
            say_if_busy(config, quiet)
        data = load_in_turn(config, ranks, cache=cache, strict=strict, quiet=quiet or as_json)
        with watching(quiet, as_json, ranks, trackers=_trackers(track, tensorboard)) as watch:
            run = training.train(
                config, out, data=data, overwrite=overwrite, watch=watch, ranks=ranks, cache=cache
            )
    if training.writes(ranks):
        say_result(run, quiet, as_json)


@names_in_help(trackers="lll.show.trackers:TRACKERS")
def resume(
    run: RunFolder,
    checkpoint: Annotated[
        str, typer.Option(help="Go back to this checkpoint, as epoch-0003.")
    ] = "latest",
    cache: Cache = None,
    quiet: Quiet = False,
    as_json: Json = False,
    track: Track = None,
    tensorboard: Tensorboard = False,
) -> None:
    """Go on with a run that was stopped, from its latest checkpoint to the same end.

    Trackers: {trackers}.
    """
    from lll.learn.device import backend_of
    from lll.ranks import joined, start_of
    from lll.runs import load_run
    from lll.runs import resume as resuming
    from lll.runs import train as training

    loaded = load_run(run)
    if loaded.finished and checkpoint == "latest":
        if start_of(os.environ).rank == 0:
            say_result(loaded, quiet, as_json)
        return
    config = loaded.config
    with joined(os.environ, backend_of(config.device)) as ranks:
        data = load_in_turn(config, ranks, cache=cache, quiet=quiet or as_json)
        with watching(quiet, as_json, ranks, trackers=_trackers(track, tensorboard)) as watch:
            finished = resuming.resume(
                run, data=data, checkpoint=checkpoint, watch=watch, ranks=ranks, cache=cache
            )
    if training.writes(ranks):
        say_result(finished, quiet, as_json)


@takes_config
def schedule(
    source: Source = None,
    *,
    picture: Annotated[
        Path | None, typer.Option(help="Draw the plan into this file (png, svg or pdf).")
    ] = None,
    cache: Cache = None,
    as_json: Json = False,
    track: Track = None,
    tensorboard: Tensorboard = False,
    **flags: str | None,
) -> None:
    """Show what would be known when, without training. Takes the flags of `lll train`."""
    config = read_config(source, flags)
    from lll.learn.prepare import check_one_class, plan_rows, prepare
    from lll.runs.train import check_names
    from lll.show.plots.save import check_picture, save_as
    from lll.show.plots.schedule import schedule as draw_schedule

    check_names(config)
    if picture is not None:
        check_picture(picture)
    data = load_with_bar(config, cache=cache, quiet=as_json)
    check_one_class(config, data)
    prepared = prepare(config, data, cache=cache)
    rows = plan_rows(prepared)
    if as_json:
        for row in rows:
            say_json(row)
    else:
        say_plan(prepared)
    if picture is not None:
        save_as(draw_schedule(rows), picture)
        say(f"drawn into {picture}", err=as_json)


def _trackers(track: list[str] | None, tensorboard: bool) -> list[str]:
    return [*(track or ()), *(["tensorboard"] if tensorboard else ())]


def _default_name(config: RunConfig) -> str:
    data = Path(config.data).resolve().stem
    method = "-".join(filter(None, [config.method, config.how.variant(config.options)]))
    return f"{data}-{method}-seed{config.seed}"
