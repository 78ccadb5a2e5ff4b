"""``lll train``, ``lll resume``, ``lll schedule``."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from lll.cli.flags import (
    Cache,
    ConfigFile,
    Json,
    Quiet,
    RunFolder,
    Strict,
    read_config,
    with_config_flags,
)
from lll.cli.show import (
    load_in_turn,
    load_with_bar,
    say_json,
    say_plan,
    say_result,
    watching,
)
from lll.config import RunConfig
from lll.show.tensorboard import with_tensorboard

Tensorboard = Annotated[
    bool, typer.Option("--tensorboard", help="Write TensorBoard event files into the run.")
]


@with_config_flags
def train(
    config_file: ConfigFile = None,
    *,
    out: Annotated[
        Path | None, typer.Option(help="Run folder to make (runs/DATA-METHOD-seedN).")
    ] = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace an earlier run.")] = False,
    strict: Strict = False,
    cache: Cache = None,
    quiet: Quiet = False,
    as_json: Json = False,
    tensorboard: Tensorboard = False,
    **flags: str | None,
) -> None:
    """Train a classifier. Every setting is a flag, or a key of the same name in CONFIG.toml.

    Ranges are written low:high, as in --classes 8:10 or --labels 0.01:0.9; a rule may follow,
    as in 0.01:0.9:linear (epoch, fraction, decay, linear, cosine, step); --labels 4/class
    counts per class; 0=5,10=8 lists epoch=value. Defaults depend on the method and the data.
    """
    config = read_config(config_file, flags)
    from lll.ranks import joined
    from lll.runs import train as training
    from lll.runs.prepare import backend_of

    training.check_names(config)
    out = out or Path("runs") / _default_name(config)
    with joined(os.environ, backend_of(config.device)) as processes:
        data = load_in_turn(
            config.data, config, processes, cache=cache, strict=strict, quiet=quiet or as_json
        )
        with watching(quiet, as_json, processes) as watch:
            watch = with_tensorboard(watch) if tensorboard else watch
            run = training.train(
                config, out, data=data, overwrite=overwrite, watch=watch, processes=processes
            )
    if training.writes(processes):
        say_result(run, quiet, as_json)


def resume(
    run: RunFolder,
    checkpoint: Annotated[
        str, typer.Option(help="Go back to this checkpoint, as epoch-0003.")
    ] = "latest",
    cache: Cache = None,
    quiet: Quiet = False,
    as_json: Json = False,
    tensorboard: Tensorboard = False,
) -> None:
    """Go on with a run that was stopped, from its latest checkpoint to the same end."""
    from lll.ranks import joined, rank_of
    from lll.runs import load_run
    from lll.runs import train as training
    from lll.runs.prepare import backend_of

    loaded = load_run(run)
    if loaded.finished and checkpoint == "latest":
        if rank_of(os.environ) == 0:
            say_result(loaded, quiet, as_json)
        return
    config = loaded.config
    with joined(os.environ, backend_of(config.device)) as processes:
        data = load_in_turn(config.data, config, processes, cache=cache, quiet=quiet or as_json)
        with watching(quiet, as_json, processes) as watch:
            watch = with_tensorboard(watch) if tensorboard else watch
            finished = training.resume(
                run, data=data, checkpoint=checkpoint, watch=watch, processes=processes
            )
    if training.writes(processes):
        say_result(finished, quiet, as_json)


@with_config_flags
def schedule(
    config_file: ConfigFile = None,
    *,
    picture: Annotated[
        Path | None, typer.Option(help="Draw the plan into this file (png, svg or pdf).")
    ] = None,
    cache: Cache = None,
    as_json: Json = False,
    tensorboard: Tensorboard = False,
    **flags: str | None,
) -> None:
    """Show what would be known when, without training. Takes the flags of `lll train`."""
    config = read_config(config_file, flags)
    from lll.runs.prepare import check_one_class, plan_rows, prepare
    from lll.runs.train import check_names
    from lll.show.plots.save import save_as
    from lll.show.plots.schedule import schedule as draw_schedule

    check_names(config)
    data = load_with_bar(config.data, config, cache=cache, quiet=as_json)
    check_one_class(config, data)
    prepared = prepare(config, data)
    rows = plan_rows(prepared)
    if as_json:
        for row in rows:
            say_json(row)
    else:
        say_plan(prepared)
    if picture is not None:
        save_as(draw_schedule(rows), picture)
        Console(stderr=as_json).print(f"drawn into {picture}", highlight=False)


def _default_name(config: RunConfig) -> str:
    data = Path(config.data).resolve().stem
    method = config.method if config.rule is None else f"{config.method}-{config.rule}"
    return f"{data}-{method}-seed{config.seed}"
