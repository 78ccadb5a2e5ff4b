"""Bad input, and the words that help to mend it."""

from __future__ import annotations

import difflib
import errno
from collections.abc import Iterable, Mapping
from typing import TypeVar

from lll.words import listed, visible

T = TypeVar("T")


MOST_CHARACTERS = 600  # of a message: what it quotes may be of any length


class UserError(ValueError):
    """Bad input, said in one line that names the value and the remedy.

    The command line prints the line and exits with code 2; from Python it is an
    ordinary ``ValueError``. Whatever the message quotes, it stays one short line (`one_line`).
    """

    def __init__(self, message: str) -> None:
        super().__init__(one_line(message))


def one_line(text: str) -> str:
    r"""``text`` without line breaks, control characters escaped, cut in the middle if long.

    >>> one_line("no\nclass \x1b[31m'red'")
    "no class \\x1b[31m'red'"
    """
    line = " ".join(part.strip() for part in text.splitlines())
    shown = visible(line)
    half = (MOST_CHARACTERS - 5) // 2
    return shown if len(shown) <= MOST_CHARACTERS else f"{shown[:half]} ... {shown[-half:]}"


# What libraries say that have no class of error for it.
_NO_MEMORY = (
    "out of memory",  # CUDA, Pillow
    "allocate memory",  # torch on a CPU, the loader of libraries
    "could not create a primitive",  # oneDNN
    "failed to map segment",  # the loader of libraries
    "could not find/load shared object",  # llvmlite
    "can't start new thread",
)


def out_of_memory(error: BaseException) -> bool:
    """Whether ``error`` is one of those that mean too little memory, of a CPU or of a GPU."""
    if isinstance(error, MemoryError) or getattr(error, "errno", None) == errno.ENOMEM:
        return True
    said = str(error).lower()
    return any(words in said for words in _NO_MEMORY)


def nearest(name: str, known: Iterable[str]) -> str:
    """``did you mean 'x'?`` for the known name closest to ``name``, else the known names."""
    names = sorted(known)
    close = difflib.get_close_matches(name, names, n=1, cutoff=0.5)
    return f"did you mean {close[0]!r}?" if close else f"choose one of {listed(names)}"


def lookup(table: Mapping[str, T], name: str, what: str) -> T:
    """``table[name]``, or a UserError that names ``what`` and the nearest right name."""
    if name not in table:
        raise UserError(f"unknown {what} {name!r}: {nearest(name, table)}")
    return table[name]
