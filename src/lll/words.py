"""One way to show what is printed: a person's text, a percentage, a number, a count, a list."""

from __future__ import annotations

import csv
import io
import re
import unicodedata
from collections.abc import Iterable, Mapping

NOTHING = "–"
"""Printed in place of a value that does not exist."""
# Control and format characters, halves of a pair, line and paragraph separators.
_HIDDEN = {"Cc", "Cf", "Cs", "Zl", "Zp"}
# What makes a spreadsheet run a cell, also in the wide letters of East Asia.
_FORMULA = re.compile("'*[=+\\-@\t\r\n＝＋－＠]")
_JOINERS = "\u200c\u200d"  # parts of words in Persian and Hindi, and of some emoji


def visible(text: str) -> str:
    r"""A person's ``text`` on one line, with invisible characters written as escapes.

    So no name moves the cursor, colours the terminal, turns the direction of writing or fails
    to be encoded. A byte of a file name that is not UTF-8 becomes ``\xNN``.

    >>> print(visible("caf\udce9 \x1b[31m[b]\n猫"))
    caf\xe9 \x1b[31m[b]\n猫
    """
    return "".join(c if _is_seen(c) else _escaped(c) for c in text)


def _is_seen(c: str) -> bool:
    return unicodedata.category(c) not in _HIDDEN or c in _JOINERS


def _escaped(c: str) -> str:
    byte = ord(c) - 0xDC00  # as `os.fsdecode` hides a byte in a name
    return f"\\x{byte:02x}" if 0x80 <= byte <= 0xFF else repr(c)[1:-1]


def percent(share: float | None, digits: int = 1) -> str:
    """A ``share`` in [0, 1] as a percentage.

    >>> percent(0.1234), percent(0.5, 0), percent(None)
    ('12.3%', '50%', '–')
    """
    return NOTHING if share is None else f"{100 * share:.{digits}f}%"


def points(difference: float | None) -> str:
    """A ``difference`` of shares in percentage points, with its sign.

    >>> points(-0.021)
    '-2.1'
    """
    return NOTHING if difference is None else f"{100 * difference:+.1f}"


def decimal(value: float | None, digits: int = 3) -> str:
    """A number that is not a share.

    >>> decimal(0.25), decimal(1.26, 1)
    ('0.250', '1.3')
    """
    return NOTHING if value is None else f"{value:.{digits}f}"


def count(number: int, what: str = "", many: str = "") -> str:
    """A whole ``number``, and ``what`` it counts in the singular or plural.

    >>> count(1797), count(1, "image"), count(0, "image"), count(2, "class", "classes")
    ('1,797', '1 image', '0 images', '2 classes')
    """
    name = what if number == 1 else many or f"{what}s"
    return f"{number:,} {name}" if what else f"{number:,}"


def size(of_bytes: int) -> str:
    """A number of bytes in a unit that suits it.

    >>> size(1000), size(64 * 2**20), size(3 * 2**30)
    ('1000 bytes', '64 MiB', '3 GiB')
    """
    for unit, power in (("GiB", 30), ("MiB", 20)):
        if of_bytes >= 2**power:
            return f"{of_bytes / 2**power:.3g} {unit}"
    return f"{of_bytes} bytes"


def listed(names: Iterable[object], most: int | None = None) -> str:
    """Names with commas between; of more than ``most`` the first, and how many are left.

    >>> listed("ab"), listed("abcde", 2)
    ('a, b', 'a, b and 3 more')
    """
    texts = [visible(str(name)) for name in names]
    if most is None or len(texts) <= most:
        return ", ".join(texts)
    return f"{', '.join(texts[:most])} and {count(len(texts) - most)} more"


def reasons(missing: Mapping[str, str]) -> list[str]:
    """One line for each reason: the names in ``missing`` that have it, and the reason.

    >>> reasons({"umap": "needs 16 images", "views": "no data", "pca": "needs 16 images"})
    ['umap, pca: needs 16 images', 'views: no data']
    """
    names: dict[str, list[str]] = {}
    for name, reason in missing.items():
        names.setdefault(reason, []).append(name)
    return [f"{listed(group)}: {reason}" for reason, group in names.items()]


def csv_text(rows: Iterable[Iterable[object]]) -> str:
    """``rows`` as CSV; text that a spreadsheet would run as a formula has a ' before it.

    >>> print(csv_text([["=cmd|' /C calc'!A0", -0.5]]), end="")
    '=cmd|' /C calc'!A0,-0.5
    """
    return "".join(map(_csv_line, rows))


def _csv_line(row: Iterable[object]) -> str:
    line = io.StringIO()
    # With both ends of a line as the end, cells that hold either are quoted.
    csv.writer(line, lineterminator="\r\n").writerow([_inert(cell) for cell in row])
    return line.getvalue().removesuffix("\r\n") + "\n"


def _inert(cell: object) -> object:
    return f"'{cell}" if isinstance(cell, str) and _FORMULA.match(cell) else cell


def cell_text(cell: str) -> str:
    """The text that `csv_text` wrote as ``cell``.

    >>> cell_text("'=1+1"), cell_text("'tis")
    ('=1+1', "'tis")
    """
    return cell[1:] if cell.startswith("'") and _FORMULA.match(cell) else cell
