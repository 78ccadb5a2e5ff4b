"""A folder of images and one CSV that says their labels."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Sequence
from dataclasses import replace
from pathlib import PurePosixPath

from lll.data.assemble import Options
from lll.data.decoding import UnreadableError
from lll.data.files import Files, Item, load_items
from lll.data.imageset import DataSet
from lll.data.layout import SPLITS
from lll.errors import UserError, nearest
from lll.labels.missing import labels_of

FILE_COLUMNS = ("file", "filename", "path", "image", "id")
LABEL_COLUMNS = ("label", "class")
SPLIT_COLUMN = "split"


def has_table(files: Files) -> bool:
    """Whether a CSV lies at the top of the tree."""
    return any("/" not in path for path in files.tables)


def load_table(name: str, files: Files, options: Options) -> DataSet:
    """A DataSet from images and a CSV with a file and a label column, optionally ``split``.

    An empty label cell, and an image that the CSV does not name, are unlabelled. A file may
    be named without its suffix where that is unambiguous. Classes are sorted by name.

    Raises UserError for missing columns, absent files, paths that leave the folder, two
    labels for one file, and an unknown split.
    """
    tables = [path for path in files.tables if "/" not in path]
    if len(tables) > 1:
        raise UserError(
            f"{files.where} holds {len(tables)} CSV files ({', '.join(tables)}): keep one"
        )
    where = f"{files.where}/{tables[0]}"
    try:
        data = files.tables[tables[0]]()
    except (UnreadableError, OSError) as error:
        raise UserError(f"{where} cannot be read ({error}): repair it") from error
    listed = _listed(_rows(data, where), files, where)
    items = [listed.get(path, Item(path, "", "")) for path in files.images]
    return load_items(name, files, items, options)


def _rows(data: bytes, where: str) -> list[tuple[int, Item]]:
    """(line number, item as written) of each row."""
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise UserError(f"{where} is not UTF-8 (byte {error.start}): save it as UTF-8") from error
    header_line = text.split("\n", 1)[0]
    delimiter = max(",;\t", key=header_line.count)  # spreadsheets of many countries write ';'
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True)
    try:
        header = [cell.strip().lower() for cell in next(reader, [])]
        file_at = _column(header, FILE_COLUMNS, where)
        label_at = _column(header, LABEL_COLUMNS, where)
        split_at = header.index(SPLIT_COLUMN) if SPLIT_COLUMN in header else None
        rows = []
        for row in reader:
            if not any(cell.strip() for cell in row):
                continue
            if len(row) != len(header):
                raise UserError(
                    f"{where} line {reader.line_num} has {len(row)} cells instead of"
                    f" {len(header)}: correct the line"
                )
            split = "" if split_at is None else _split(row[split_at], where, reader.line_num)
            item = Item(row[file_at].strip(), row[label_at].strip(), split)
            rows.append((reader.line_num, item))
    except csv.Error as error:
        raise UserError(f"{where} line {reader.line_num}: {error}: correct the line") from error
    labels = labels_of([item.label for _, item in rows], where)
    return [(n, replace(item, label=label)) for (n, item), label in zip(rows, labels, strict=True)]


def _column(header: Sequence[str], wanted: Sequence[str], where: str) -> int:
    for name in wanted:
        if name in header:
            return header.index(name)
    raise UserError(
        f"{where} has no column {' or '.join(wanted)} (its header is {', '.join(header)!r}):"
        " name the columns in the first line"
    )


def _split(cell: str, where: str, line: int) -> str:
    split = cell.strip().lower()
    if split and split not in SPLITS:
        raise UserError(f"{where} line {line}: unknown split {cell!r}: {nearest(split, SPLITS)}")
    return SPLITS.get(split, "train")


def _listed(rows: Sequence[tuple[int, Item]], files: Files, where: str) -> dict[str, Item]:
    stems: dict[str, list[str]] = {}
    for path in files.images:
        stems.setdefault(path.rsplit(".", 1)[0], []).append(path)
    listed: dict[str, Item] = {}
    absent: list[str] = []
    for line, item in rows:
        path = _inside(item.path, where, line)
        if path not in files.images:
            found = stems.get(path, [])
            if len(found) > 1:
                raise UserError(
                    f"{where} line {line}: {item.path!r} may be {' or '.join(found)}:"
                    " write the suffix"
                )
            if not found:
                absent.append(item.path)
                continue
            path = found[0]
        listed[path] = _merge(listed.get(path), Item(path, item.label, item.split), where)
    if absent:
        raise UserError(
            f"{where} names {absent[0]!r} ({len(absent)} in all), which is no image file in"
            f" {files.where}: add the file or remove the row"
        )
    return listed


def _inside(cell: str, where: str, line: int) -> str:
    path = PurePosixPath(cell)
    outside = path.is_absolute() or ".." in path.parts or re.match(r"[A-Za-z]:", cell)
    if not cell or outside or "\\" in cell:
        raise UserError(
            f"{where} line {line}: {cell!r} is no path inside the folder: write it relative to"
            " the folder, with '/'"
        )
    return path.as_posix()


def _merge(before: Item | None, now: Item, where: str) -> Item:
    """One file may stand twice if the rows agree; an empty label agrees with any."""
    if before is None:
        return now
    if before.label and now.label and before.label != now.label:
        raise UserError(
            f"{where}: {now.path} has two labels, {before.label!r} and {now.label!r}: keep one"
        )
    if before.split != now.split:
        raise UserError(
            f"{where}: {now.path} is in two splits, {before.split} and {now.split}: keep one"
        )
    return before if before.label else now
