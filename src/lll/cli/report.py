"""``lll report``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from lll.cli.flags import Cache
from lll.cli.show import complain, load_with_bar


def report(
    runs: Annotated[list[Path], typer.Argument(metavar="RUN...", help="Run folders.")],
    out: Annotated[Path, typer.Option(help="HTML file to write.")] = Path("report.html"),
    cache: Cache = None,
) -> None:
    """Report on one run, or on several side by side, in one HTML file that needs no network.

    Takes the figures from RUN/evaluation.json, or makes that file as `lll evaluate` does.
    """
    from rich.console import Console

    from lll.show import report as reporting

    with Console(stderr=True).status("") as status:
        missing = reporting.report(
            runs,
            out,
            load=lambda config: load_with_bar(config.data, config, cache=cache, quiet=True),
            on_run=lambda name: status.update(f"looking at {name}"),
        )
    for line in missing:
        complain(line, 0)
    print(out)  # noqa: T201
