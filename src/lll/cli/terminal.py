"""The one way to the terminal: lines of plain text, tables, JSON, complaints; on any encoding."""

from __future__ import annotations

import codecs
import io
import json
import logging
import os
import sys
import warnings
from collections.abc import Callable, Collection, Iterable, Sequence
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from lll.errors import UserError, one_line
from lll.words import visible

if TYPE_CHECKING:
    from rich.console import Console
    from rich.progress import Progress
    from rich.status import Status
    from rich.text import Text

NOT_WRITTEN = "standard output cannot be written: free some space, or send it somewhere else"
# What we print beside ASCII, and what stands for it where an encoding has no such sign.
_SIGNS = {"–": "-", "…": "...", "→": "->", "×": "x", "±": "+/-", "█": "#", "░": ".", "•": "*"}


def use_any_encoding() -> None:
    """Print characters that the terminal's encoding lacks in another way, instead of failing."""
    codecs.register_error("lll", _in_other_signs)
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="lll")


def _in_other_signs(error: UnicodeError) -> tuple[str, int]:
    if not isinstance(error, UnicodeEncodeError):
        raise error
    letters = error.object[error.start : error.end]
    return "".join(_SIGNS.get(c) or ascii(c)[1:-1] for c in letters), error.end


def say(line: str, *, err: bool = False) -> None:
    """Print one line of plain text, with control characters escaped."""
    _print(f"{visible(line)}\n", err)


def say_json(value: dict[str, Any]) -> None:
    """Print one JSON object on a line of standard output."""
    _print(f"{json.dumps(value)}\n")


def complain(message: str, code: int) -> int:
    """Print one line on standard error, and return the exit ``code``."""
    say(f"lll: {one_line(message)}", err=True)
    return code


def say_csv(text: str) -> None:
    """Print a CSV unchanged; on a terminal, with control characters escaped."""
    if sys.stdout.isatty():
        text = "".join(f"{visible(line)}\n" for line in text.splitlines())
    _print(text)


def say_table(
    headings: Sequence[str],
    rows: Iterable[Sequence[str | Text]],
    *,
    left: Collection[str] = (),
    title: str = "",
    err: bool = False,
) -> None:
    """Print a table under its title; the first column and those in ``left`` are left-aligned."""
    from rich import box
    from rich.table import Table

    table = Table(box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0))
    for number, heading in enumerate(headings):
        begins_left = number == 0 or heading in left
        table.add_column(heading, justify="left" if begins_left else "right", no_wrap=number > 0)
    for row in rows:
        table.add_row(*(visible(cell) if isinstance(cell, str) else cell for cell in row))
    terminal = console(err=err)
    with terminal.capture() as drawn:
        if title:
            terminal.print(visible(title), style="bold", soft_wrap=True)
        terminal.print(table)
    _print(drawn.get(), err)


def console(*, err: bool = False) -> Console:
    """A console for bars and tables that treats every string as plain text."""
    from rich.console import Console

    return Console(stderr=err, markup=False, emoji=False, highlight=False)


def stop_bar(bar: Progress) -> None:
    """Stop a progress bar that may have been started."""
    # One that never was would still print an empty line; of a terminal that is gone there is
    # nothing to clean.
    if bar.live.is_started:
        with suppress(OSError):
            bar.stop()


def working(what: str) -> Status:
    """A spinner on standard error, if that is a terminal."""
    return console(err=True).status(plain(what), spinner="line")


def plain(text: str, style: str = "") -> Text:
    """``text`` for a table or a bar, without markup."""
    from rich.text import Text

    return Text(visible(text), style)


def calm(show: Callable[..., None], failures: list[Exception]) -> Callable[..., None]:
    """``show`` that never raises: the first error goes into ``failures`` and ends the display."""

    def call(*arguments: Any) -> None:
        if not failures:
            try:
                show(*arguments)
            except Exception as error:  # whatever it is, hours of training matter more
                failures.append(error)

    return call


def _print(text: str, err: bool = False) -> None:
    """The one place that writes; UserError if standard output cannot be written."""
    stream = sys.stderr if err else sys.stdout
    try:
        stream.write(text)
        stream.flush()
    except OSError as error:
        if err:
            return  # nobody is left to tell
        if isinstance(error, BrokenPipeError):
            raise
        raise UserError(f"{NOT_WRITTEN} ({error.strerror})") from None


def let_go() -> bool:
    """Flush both streams; False if standard output cannot be written. Python then exits quietly."""
    written = True
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except OSError:
            written = written and stream is sys.stderr
            # Or the interpreter tries again, and complains in its own words.
            os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())
    return written


class _Line(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        return f"lll: {one_line(record.getMessage())}"


def say_warnings() -> None:
    """Print the library's warnings as the commands' own lines, and hide those of Python.

    Python's warnings are for programmers: `python -W` shows them.
    """
    if not sys.warnoptions:
        warnings.simplefilter("ignore")
    handler = logging.StreamHandler()
    handler.setFormatter(_Line())
    logging.getLogger("lll").handlers = [handler]
