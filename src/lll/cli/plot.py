"""``lll plot``."""

from __future__ import annotations

from typing import Annotated

import typer

from lll.cli.flags import Cache, RunFolder, names_in_help
from lll.cli.loading import load_with_bar
from lll.cli.terminal import say


@names_in_help(pictures="lll.show.pictures:PICTURES")
def plot(
    run: RunFolder,
    only: Annotated[
        list[str] | None, typer.Option(metavar="NAME", help="Only this picture; may be repeated.")
    ] = None,
    checkpoint: Annotated[
        str, typer.Option(help="latest, chosen (best on validation), or epoch-0003.")
    ] = "latest",
    cache: Cache = None,
) -> None:
    """Draw a run into RUN/pictures, as PNG and SVG, and print the files.

    Pictures: {pictures}. An unfinished run shows what it has.
    """
    from lll.runs import load_run
    from lll.show import pictures

    loaded = load_run(run)
    pictures.plot(
        loaded,
        only or (),
        checkpoint=checkpoint,
        data=lambda: load_with_bar(loaded.config, cache=cache, quiet=False),
        on_file=lambda path: say(str(path)),
    )
