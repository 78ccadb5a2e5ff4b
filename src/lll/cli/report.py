"""``lll report``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from lll.cli.flags import Cache
from lll.cli.loading import load_with_bar
from lll.cli.terminal import complain, plain, say, working


def report(
    runs: Annotated[list[Path], typer.Argument(metavar="RUN...", help="Run folders.")],
    out: Annotated[Path, typer.Option(help="HTML file to write.")] = Path("report.html"),
    cache: Cache = None,
) -> None:
    """Report on one run, or on several side by side, in one HTML file that needs no network.

    Takes the figures from RUN/evaluation.json, or makes that file as `lll evaluate` does.
    """
    from lll.show import report as reporting

    with working("reading the runs") as status:
        missing = reporting.report(
            runs,
            out,
            load=lambda config: load_with_bar(config, cache=cache, quiet=True),
            on_run=lambda name: status.update(plain(f"looking at {name}")),
        )
    for line in missing:
        complain(line, 0)
    say(str(out))
