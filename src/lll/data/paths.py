"""Paths as well-formed text, so that ids and CSV files can hold them, and back."""

from __future__ import annotations

import os
import re


def as_text(path: str) -> str:
    r"""``path`` as it is if it is text; else each byte that is not UTF-8 becomes ``\xNN``.

    Beside such bytes a backslash becomes two, so that `real_path` finds the way back.

    >>> as_text("caf\udce9/1.png")
    'caf\\xe9/1.png'
    """
    try:
        path.encode()
    except UnicodeEncodeError:
        return re.sub("[\\\\\ud800-\udfff]", lambda match: _escape(match[0]), path)
    return path


def _escape(letter: str) -> str:
    if letter == "\\":
        return "\\\\"
    code = ord(letter)
    # What os.fsdecode makes of a byte; other lone surrogates occur on Windows only.
    return f"\\x{code - 0xDC00:02x}" if 0xDC80 <= code <= 0xDCFF else f"\\u{code:04x}"


def real_path(text: str) -> str:
    """The path that `as_text` wrote as ``text``; a path that exists is always itself."""
    if os.path.lexists(text):
        return text
    return re.sub(r"\\(\\|x[89a-f][0-9a-f]|ud[89a-f]..)", lambda match: _unescape(match[1]), text)


def _unescape(code: str) -> str:
    if code == "\\":
        return code
    return chr(int(code[1:], 16) + (0xDC00 if code[0] == "x" else 0))
