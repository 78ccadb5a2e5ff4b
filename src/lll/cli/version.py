"""``lll --version``."""

from __future__ import annotations

from importlib.metadata import PackageNotFoundError, distribution

import typer

from lll import __version__
from lll.cli.terminal import complain, say

PACKAGE = "little-label-learners"


def say_version(asked: bool) -> None:
    """Print the version; warn if the package that is called ``lll`` is installed beside ours.

    It is another project's, without a command or a module of that name until now.
    """
    if not asked:
        return
    say(f"lll {__version__} ({PACKAGE})")
    try:
        other = distribution("lll")
    except PackageNotFoundError:
        raise typer.Exit from None
    complain(
        f"package 'lll' {other.version} is another project's: `pip uninstall lll`, then "
        f"`pip install --force-reinstall {PACKAGE}`",
        0,
    )
    raise typer.Exit
