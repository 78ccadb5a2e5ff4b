"""The command line: thin commands over the library, with no heavy import before one runs.

Each command is a function, and a line in `COMMANDS` or in `GROUPS`.
"""

from __future__ import annotations

import functools
import os
import signal
import sys
from collections.abc import Callable
from typing import Annotated, Any

import typer

from lll.cli import (
    compare,
    data,
    discover,
    embed,
    encoders,
    evaluate,
    export,
    hub,
    label,
    labels,
    plot,
    predict,
    report,
    train,
    update,
)
from lll.cli.flags import with_config_flags, with_names
from lll.cli.signals import Interrupted, interrupting
from lll.cli.terminal import NOT_WRITTEN, complain, let_go, say_warnings, use_any_encoding
from lll.cli.version import say_version
from lll.errors import UserError, one_line, out_of_memory
from lll.learn.memory import check_limit, keep_freed_memory

COMMANDS: dict[str, Callable[..., None]] = {
    "label": label.label,
    "train": train.train,
    "resume": train.resume,
    "update": update.update,
    "schedule": train.schedule,
    "predict": predict.predict,
    "evaluate": evaluate.evaluate,
    "plot": plot.plot,
    "discover": discover.discover,
    "report": report.report,
    "embed": embed.embed,
    "encoders": encoders.encoders,
    "export": export.export,
    "push": hub.push,
    "pull": hub.pull,
    "compare": compare.compare,
}
GROUPS: dict[str, tuple[str, dict[str, Callable[..., None]]]] = {
    "data": ("Fetch a data set, or look at one.", {"fetch": data.fetch, "info": data.info}),
    "labels": (
        "The labels of a folder of its own, kept in FOLDER/.lll/labels.sqlite.",
        {
            "import": labels.import_,
            "export": labels.export,
            "history": labels.history,
            "merge": labels.merge,
            "rename": labels.rename,
            "name": labels.name,
            "reject": labels.reject,
            "undo": labels.undo,
            "redo": labels.redo,
        },
    ),
}

# Newer typers carry a click of their own; the public BadParameter leads to either.
_UsageError: type[Exception] = typer.BadParameter.__mro__[1]


def build_app(asked: str | None) -> typer.Typer:
    """The commands of `COMMANDS`, and those of `GROUPS` under their names.

    The one that is ``asked`` for has all its flags.
    """
    app = typer.Typer(
        no_args_is_help=True,
        rich_markup_mode="rich",
        help="Train image classifiers from few labels that arrive little by little.",
    )
    app.callback()(_lll)
    for name, command in COMMANDS.items():
        if name == asked:
            command = _with_help(command)
        app.command(name)(_saying_why(command))
    for group, (about, commands) in GROUPS.items():
        inner = typer.Typer(no_args_is_help=True, help=about)
        for name, command in commands.items():
            inner.command(name)(_saying_why(_with_help(command) if group == asked else command))
        app.add_typer(inner, name=group)
    return app


def _with_help(command: Callable[..., None]) -> Callable[..., None]:
    """``command`` with the flags and the names that tables say."""
    command = with_names(command)
    return with_config_flags(command) if hasattr(command, "takes_config") else command


def _lll(
    version: Annotated[
        bool,
        typer.Option(
            "--version", callback=say_version, is_eager=True, help="Print the version and exit."
        ),
    ] = False,
) -> None:
    """What stands before a command."""


def _saying_why(command: Callable[..., None]) -> Callable[..., None]:
    """``command``, which ends as `_code_of` says; typer would turn some errors into others."""

    @functools.wraps(command)
    def run(*args: Any, **kwargs: Any) -> None:
        try:
            command(*args, **kwargs)
        except (KeyboardInterrupt, Exception) as error:
            raise typer.Exit(_code_of(error)) from error

    return run


def _code_of(error: BaseException) -> int:
    """Say in one line why a command ended with ``error``, and with which code; raise the rest."""
    if isinstance(error, typer.Exit):
        return int(error.exit_code)
    if isinstance(error, KeyboardInterrupt):
        number = error.number if isinstance(error, Interrupted) else signal.SIGINT
        return complain("interrupted", 128 + number)
    if isinstance(error, UserError):
        return complain(str(error), 2)
    if isinstance(error, _UsageError):
        message = _usage_line(error)
        return complain(f"{message} (see `lll --help`)", 2) if message else 2
    if isinstance(error, BrokenPipeError):
        return 128 + 13  # as a program that SIGPIPE ends
    if out_of_memory(error):
        reason = one_line(str(error)) or type(error).__name__
        return complain(f"too little memory: free some, or ask for less at a time ({reason})", 2)
    if isinstance(error, OSError):
        return complain(f"{error.filename or 'input or output'}: {error.strerror or error}", 2)
    raise error


def _asked() -> str | None:
    """The command on the command line, or on the one that a shell wants completed, if any."""
    typed = os.environ.get("COMP_WORDS") or os.environ.get("_TYPER_COMPLETE_ARGS", "")
    words = typed.split()[1:] if "_LLL_COMPLETE" in os.environ else sys.argv[1:]
    return next((word for word in words if word[:1] != "-"), None)


def main() -> None:
    """Run the command line; exit 2 with one line for bad input."""
    keep_freed_memory()
    use_any_encoding()
    say_warnings()
    try:
        if _asked():
            check_limit()
        with interrupting():
            code = build_app(_asked())(standalone_mode=False)
    except (KeyboardInterrupt, Exception) as error:
        code = _code_of(error)
    if not let_go():
        code = code or complain(NOT_WRITTEN, 2)
    sys.exit(code if isinstance(code, int) else 0)


def _usage_line(error: Any) -> str:
    return str(error.format_message())
