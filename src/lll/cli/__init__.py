"""The command line: thin commands over the library, with no heavy import before one runs.

Each command is a function in a file of its own, and a line in `COMMANDS`.
"""

from __future__ import annotations

import functools
import sys
from collections.abc import Callable
from typing import Any

import typer

from lll.cli import compare, data, embed, encoders, evaluate, export, plot, predict, report, train
from lll.cli.show import complain, say_warnings
from lll.errors import UserError
from lll.learn.memory import keep_freed_memory

COMMANDS: dict[str, Callable[..., None]] = {
    "train": train.train,
    "resume": train.resume,
    "schedule": train.schedule,
    "predict": predict.predict,
    "evaluate": evaluate.evaluate,
    "plot": plot.plot,
    "report": report.report,
    "embed": embed.embed,
    "encoders": encoders.encoders,
    "export": export.export,
    "compare": compare.compare,
}
DATA_COMMANDS: dict[str, Callable[..., None]] = {"fetch": data.fetch, "info": data.info}

# Newer typers carry a click of their own; the public BadParameter leads to either.
_UsageError: type[Exception] = typer.BadParameter.__mro__[1]


def build_app() -> typer.Typer:
    """The commands of `COMMANDS`, and those of `DATA_COMMANDS` under ``data``."""
    app = typer.Typer(
        no_args_is_help=True,
        add_completion=False,
        rich_markup_mode="rich",
        help="Train image classifiers from few labels that arrive little by little.",
    )
    data_app = typer.Typer(no_args_is_help=True, help="Fetch a data set, or look at one.")
    for name, command in COMMANDS.items():
        app.command(name)(_interruptible(command))
    for name, command in DATA_COMMANDS.items():
        data_app.command(name)(_interruptible(command))
    app.add_typer(data_app, name="data")
    return app


def _interruptible(command: Callable[..., None]) -> Callable[..., None]:
    """``command``, which on Ctrl-C says so; typer would end it without a word."""

    @functools.wraps(command)
    def run(*args: Any, **kwargs: Any) -> None:
        try:
            command(*args, **kwargs)
        except KeyboardInterrupt:
            raise typer.Exit(complain("interrupted", 130)) from None

    return run


def main() -> None:
    """Run the command line; exit 2 with one line for bad input."""
    keep_freed_memory()
    say_warnings()
    try:
        code = build_app()(standalone_mode=False)
    except UserError as error:
        sys.exit(complain(str(error), 2))
    except _UsageError as error:
        message = _usage_line(error)
        sys.exit(complain(f"{message} (see `lll --help`)", 2) if message else 2)
    except KeyboardInterrupt:
        sys.exit(complain("interrupted", 130))
    except BrokenPipeError:
        sys.exit(141)
    sys.exit(code if isinstance(code, int) else 0)


def _usage_line(error: Any) -> str:
    return str(error.format_message())
