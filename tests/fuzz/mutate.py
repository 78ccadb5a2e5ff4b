"""Damage to files and to values, by seed, and what a reader may answer to it."""

from __future__ import annotations

import random
import re
from collections.abc import Callable
from typing import Any

import pytest

from lll.errors import UserError
from lll.words import visible

# What a field may wrongly hold: bounds of integers, text that means something, odd characters.
NUMBERS = (0, 1, -1, 127, 255, 256, 65535, 2**31 - 1, -(2**31), 2**32, 2**63, 2**64, 10**30)
TOKENS = (b"", b"-1", b"1e999", b"nan", b"null", b"true", b"[]", b"{}", b'"', b"'", b"\n", b"=")
TOKENS += (b",", b"\0", b"\xff", b"\xed\xa0\x80", "é\u202e".encode(), b"../x", b"/", b"9" * 400)
VALUES: tuple[Any, ...] = (None, True, "", "x", "\ud800", b"", [], {}, 0.5, -1.0, float("nan"))
VALUES += (float("inf"), "x" * 100_000, [[]], {"x": 1}, *NUMBERS)
MOST_EDITS = 4
TWO_LINES = 800  # characters, on a wide screen


def mutate(data: bytes, rng: random.Random) -> bytes:
    """``data`` after one to four edits, of bytes or of the numbers and words in it."""
    for _ in range(rng.randint(1, MOST_EDITS)):
        data = rng.choice(EDITS)(data, rng)
    return data


def _span(data: bytes, rng: random.Random) -> tuple[int, int]:
    start = rng.randint(0, len(data))
    return start, min(len(data), start + rng.choice((1, 2, 4, 8, 64, 1024)))


def _flip(data: bytes, rng: random.Random) -> bytes:
    at = rng.randrange(len(data) or 1)
    return (
        data[:at] + bytes(b ^ (1 << rng.randrange(8)) for b in data[at : at + 1]) + data[at + 1 :]
    )


def _cut(data: bytes, rng: random.Random) -> bytes:
    return data[: rng.randint(0, len(data))]


def _remove(data: bytes, rng: random.Random) -> bytes:
    start, end = _span(data, rng)
    return data[:start] + data[end:]


def _repeat(data: bytes, rng: random.Random) -> bytes:
    start, end = _span(data, rng)
    return data[:end] + data[start:end] * rng.choice((1, 2, 100)) + data[end:]


def _noise(data: bytes, rng: random.Random) -> bytes:
    start, end = _span(data, rng)
    return data[:start] + rng.randbytes(end - start) + data[end:]


def _number(data: bytes, rng: random.Random) -> bytes:
    """A binary integer over what was there, as in the headers of files."""
    size, order = rng.choice((1, 2, 4, 8)), rng.choice(("little", "big"))
    at = rng.randint(0, max(0, len(data) - size))
    value = rng.choice(NUMBERS) % 2 ** (8 * size)
    return data[:at] + value.to_bytes(size, order) + data[at + size :]


def _word(data: bytes, rng: random.Random) -> bytes:
    """Another number or word in place of one, as in text."""
    words = list(re.finditer(rb"[\w.+-]+", data[:10_000]))
    if not words:
        return data + rng.choice(TOKENS)
    word = rng.choice(words)
    new = rng.choice((rng.choice(TOKENS), str(rng.choice(NUMBERS)).encode(), words[0][0]))
    return data[: word.start()] + new + data[word.end() :]


EDITS: tuple[Callable[[bytes, random.Random], bytes], ...] = (
    _flip, _cut, _remove, _repeat, _noise, _number, _word,
)  # fmt: skip


def mutate_tree(value: Any, rng: random.Random) -> Any:
    """Nested dicts and lists with one entry replaced, removed, renamed or added; a copy."""
    if not isinstance(value, dict | list | tuple) or not value or rng.random() < 0.1:
        return rng.choice(VALUES)
    pairs = list(value.items() if isinstance(value, dict) else enumerate(value))
    at = rng.randrange(len(pairs))
    key, inside = pairs[at]
    what = rng.random()
    if what < 0.7:
        pairs[at] = (key, mutate_tree(inside, rng))
    elif what < 0.8:
        del pairs[at]
    elif what < 0.9:
        pairs[at] = (rng.choice(("x", "", 0, f"{key}x")), inside)
    else:
        pairs.append(("more", rng.choice(VALUES)))
    return dict(pairs) if isinstance(value, dict) else type(value)(v for _, v in pairs)


def read_or_refused(read: Callable[[], object]) -> UserError | None:
    """What ``read()`` refused, one short line, or None where it succeeded; all else fails."""
    try:
        read()
    except UserError as error:
        message = str(error)
        if visible(message) != message or not 0 < len(message) <= TWO_LINES:
            pytest.fail(f"not one short line: {message[:1000]!r}")
        return error
    return None
