"""The rows of a table of labels: a CSV, or ``metadata.jsonl`` as on the Hugging Face hub."""

from __future__ import annotations

import codecs
import csv
import io
import json
import re
from collections.abc import Sequence
from dataclasses import dataclass

from lll.data.layout import SPLITS
from lll.errors import UserError, nearest
from lll.labels.missing import labels_of
from lll.words import cell_text, listed

# Names of columns in small letters, without spaces, '_' and '-', best first.
FILE_COLUMNS = (
    *("file", "filename", "path", "filepath", "image", "imagepath", "imagefile", "imagename"),
    *("img", "imgpath", "picture", "imageid", "id"),
)
LABEL_COLUMNS = ("label", "class", "category", "classname", "target")
SPLIT_COLUMNS = ("split", "subset")

Table = tuple[list[str], list[tuple[int, list[str]]]]
"""The header, and the line number and the cells of each row."""


@dataclass(frozen=True)
class Row:
    """One row: its line, the file as written, class name ("" unlabelled), split ("" not said)."""

    line: int
    file: str
    label: str
    split: str


def read_rows(data: bytes, where: str, *, lines: bool, needs_label: bool) -> list[Row]:
    """The rows of a table: JSON objects in ``lines``, else a CSV.

    The column of labels may be absent unless ``needs_label``. Raises UserError, which names
    ``where`` and the line, for missing columns, unknown splits and damage.
    """
    header, rows = (_objects if lines else _csv)(_text(data, where), where)
    names = [re.sub(r"[\s_-]", "", name.casefold()) for name in header]
    file = _column(names, FILE_COLUMNS, header, where)
    label = _column(names, LABEL_COLUMNS, header if needs_label else None, where)
    split = _column(names, SPLIT_COLUMNS, None, where)
    labels = labels_of([_cell(cells, label) for _, cells in rows], where)
    return [
        Row(line, _cell(cells, file), name, _split(_cell(cells, split), where, line))
        for (line, cells), name in zip(rows, labels, strict=True)
    ]


def _cell(cells: Sequence[str], at: int | None) -> str:
    return "" if at is None else cell_text(cells[at].strip())


def _text(data: bytes, where: str) -> str:
    marked = data.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE))  # a spreadsheet's Unicode
    try:
        return data.decode("utf-16" if marked else "utf-8-sig")
    except UnicodeDecodeError as error:
        raise UserError(f"{where} is not UTF-8 (byte {error.start}): save it as UTF-8") from error


def _csv(text: str, where: str) -> Table:
    header_line = text.split("\n", 1)[0]
    delimiter = max(",;\t", key=header_line.count)  # spreadsheets of many countries write ';'
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True)
    try:
        header = [cell.strip() for cell in next(reader, [])]
        rows = []
        for row in reader:
            if not any(cell.strip() for cell in row):
                continue
            if len(row) != len(header):
                raise UserError(
                    f"{where} line {reader.line_num} has {len(row)} cells instead of"
                    f" {len(header)}: correct the line"
                )
            rows.append((reader.line_num, row))
    except csv.Error as error:
        raise UserError(f"{where} line {reader.line_num}: {error}: correct the line") from error
    return header, rows


def _objects(text: str, where: str) -> Table:
    objects = []
    for line, content in enumerate(text.split("\n"), 1):
        if not content.strip():
            continue
        try:
            value = json.loads(content)
        except (ValueError, RecursionError) as error:
            raise UserError(f"{where} line {line} is not JSON: correct the line") from error
        if not isinstance(value, dict):
            raise UserError(f"{where} line {line} is not a JSON object: write one for each image")
        objects.append((line, {name: "" if v is None else str(v) for name, v in value.items()}))
    header = list(dict.fromkeys(name for _, row in objects for name in row))
    return header, [(line, [row.get(name, "") for name in header]) for line, row in objects]


def _column(
    names: Sequence[str], wanted: Sequence[str], header: Sequence[str] | None, where: str
) -> int | None:
    """Where the best of the ``wanted`` columns is; UserError without one if ``header`` is given."""
    for name in wanted:
        if name in names:
            return names.index(name)
    if header is None:
        return None
    raise UserError(
        f"{where} has no column {' or '.join(wanted[:3])} (it has {listed(header, 12) or 'none'}):"
        " name the columns in the first line"
    )


def _split(cell: str, where: str, line: int) -> str:
    split = cell.lower()
    if split and split not in SPLITS:
        raise UserError(f"{where} line {line}: unknown split {cell!r}: {nearest(split, SPLITS)}")
    return SPLITS.get(split, "")
