"""``lll compare``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from lll.cli.flags import Json
from lll.cli.signals import Interrupted
from lll.cli.terminal import calm, complain, say, say_json, say_table

TITLE = "Test accuracy in %: mean ± std over n seeds; paired difference with 95% interval"


def compare(
    sweep_file: Annotated[
        Path, typer.Argument(metavar="SWEEP.toml", help="Methods, labels, seeds, settings.")
    ],
    out: Annotated[
        Path | None, typer.Option(help="Folder for the runs and the table (runs/SWEEP).")
    ] = None,
    processes: Annotated[
        int, typer.Option(min=1, help="Runs at the same time, but those on features.")
    ] = 1,
    as_json: Json = False,
) -> None:
    """Run methods × schedules × label budgets × seeds, and compare them.

    Finished runs are kept and broken ones resumed, so the same command goes on after Ctrl-C.
    SWEEP.toml holds data, methods = ["baseline", "gradual"], labels = ["4/class", "25/class"],
    seeds = [0, 1, 2], reference = "baseline", and tables \\[settings] and \\[schedules.NAME] with
    the keys of a run's configuration. The reference is a method or a schedule.
    """
    from lll.bench.compare import curves, table_lines, tabulate, write_comparison
    from lll.bench.jobs import run_sweep
    from lll.bench.sweep import read_sweep
    from lll.show.plots.comparison import comparison
    from lll.show.plots.save import save

    out = out or Path("runs") / sweep_file.stem
    sweep = read_sweep(sweep_file, out)
    failures: list[Exception] = []
    progress = calm(lambda line: say(line, err=as_json), failures)
    try:
        run_sweep(sweep, processes=processes, say=progress)
    except Interrupted as error:
        line = "interrupted: every run is saved, and the same command goes on"
        raise typer.Exit(complain(line, 128 + error.number)) from None
    rows = tabulate(sweep)
    write_comparison(out, rows, sweep.reference)
    save(comparison(curves(sweep)), out / "accuracy-by-labels")
    if failures:
        raise failures[0]
    if as_json:
        for row in rows:
            say_json(row)
        return
    headings, *lines = _narrow(table_lines(rows, sweep.reference))
    say_table(headings, lines, left=("schedule", "labels"), title=TITLE)
    say(f"table and picture in {out}")


def _narrow(lines: list[list[str]]) -> list[list[str]]:
    """``lines`` for 80 columns: no seconds, and no schedules where the sweep names none."""
    dull = {"s/epoch"}
    if all(line[lines[0].index("schedule")] == "default" for line in lines[1:]):
        dull.add("schedule")
    kept = [at for at, heading in enumerate(lines[0]) if heading not in dull]
    return [[line[at] for at in kept] for line in lines]
