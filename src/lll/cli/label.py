"""``lll label``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from lll.cli.flags import Cache
from lll.cli.terminal import say
from lll.errors import UserError


def label(
    folder: Annotated[Path, typer.Argument(metavar="FOLDER", help="A folder of images.")],
    browser: Annotated[bool, typer.Option(help="Open the page in the browser.")] = True,
    port: Annotated[
        int | None,
        typer.Option(min=1, max=65535, help="Port on this machine (the first free from 8484 on)."),
    ] = None,
    cache: Cache = None,
) -> None:
    """Label the images of a folder on a page in the browser; nothing leaves this machine."""
    try:
        from lll.label.serve import serve
    except ModuleNotFoundError as error:
        if error.name not in ("starlette", "uvicorn"):
            raise
        raise UserError(
            f"the page needs {error.name}: pip install 'little-label-learners[page]'"
        ) from None

    def told(address: str) -> None:
        say(f"{folder}: open {address}")
        say("Ctrl-C ends it; every answer is kept at once")
        if browser:
            import webbrowser

            webbrowser.open(address)

    serve(folder, port, cache, told)
