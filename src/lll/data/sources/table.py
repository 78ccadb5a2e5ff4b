"""Images and a table that says their labels, alone or together with class folders."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import PurePosixPath

from lll.data.assemble import Options
from lll.data.budgets import MAX_TABLE_BYTES
from lll.data.decoding import UnreadableError
from lll.data.files import Files, Item, load_items
from lll.data.formats import suffix_of
from lll.data.imageset import DataSet
from lll.data.layout import splits_of
from lll.data.sources.cells import Row, read_rows
from lll.data.sources.folder import class_items
from lll.errors import UserError
from lll.labels.names import class_name, is_unlabelled_folder
from lll.words import listed, size


@dataclass(frozen=True)
class _Said:
    """What a table says of an image, and where: the file and the line."""

    item: Item
    where: str


def tables_of(files: Files) -> list[str]:
    """The tables that say labels: the one at the top, or one beside the images of each split.

    Raises UserError for more than one.
    """
    tops = sorted({path.split("/")[0] for path in files.images if path.count("/") == 1})
    for folders in ([""], [f"{top}/" for top in splits_of(tops)]):
        found = [[t for t in files.tables if _folder_of(t) == folder] for folder in folders]
        for tables in found:
            if len(tables) > 1:
                raise UserError(
                    f"{files.where} holds {len(tables)} CSV files ({listed(tables)}): keep one"
                )
        if any(found):
            return [table for tables in found for table in tables]
    return []


def load_table(name: str, files: Files, tables: Sequence[str], options: Options) -> DataSet:
    """A DataSet from images and ``tables``; classes are sorted by name. See `table_items`."""
    return load_items(name, files, table_items(files, tables), options)


def table_items(files: Files, tables: Sequence[str]) -> list[Item]:
    """Every image with what ``tables`` say, with a file and a label column, optionally ``split``.

    An empty label cell, and an image that no table names, are unlabelled, unless class folders
    say its class. A file may be named without its suffix where that is unambiguous.

    Raises UserError for missing columns, absent files, paths that leave the folder, two
    labels for one file, by the table or by its folder, and an unknown split.
    """
    said: dict[str, _Said] = {}
    for table in tables:
        said |= _listed(files, table)
    folders = _folders_say(files, said)
    return [_agreed(path, said.get(path), folders.get(path)) for path in files.images]


def _listed(files: Files, table: str) -> dict[str, _Said]:
    """What ``table`` says of each image that it names."""
    where = f"{files.where}/{table}"
    names = _Names(files, _folder_of(table))
    said: dict[str, _Said] = {}
    absent: list[str] = []
    for row in _rows(files, table, where):
        path = names.find(row, where)
        if path is None:
            absent.append(row.file)
            continue
        now = _Said(Item(path, row.label, row.split), f"{where} line {row.line}")
        said[path] = _merged(said.get(path), now)
    if absent:
        raise UserError(
            f"{where} names {absent[0]!r} ({len(absent)} in all), which is not an image file in"
            f" {files.where}: add the file or remove the row"
        )
    return said


def _rows(files: Files, table: str, where: str) -> list[Row]:
    try:
        data = files.tables[table](MAX_TABLE_BYTES + 1)
    except (UnreadableError, OSError) as error:
        raise UserError(f"{where} cannot be read ({error}): repair it") from error
    if len(data) > MAX_TABLE_BYTES:
        raise UserError(
            f"{where} is larger than {size(MAX_TABLE_BYTES)}: keep the columns of file, label and"
            " split, or use Parquet"
        )
    in_folders = any(path.count("/") > table.count("/") for path in files.images)
    is_lines = suffix_of(table) == ".jsonl"
    return read_rows(data, where, lines=is_lines, needs_label=not in_folders)


class _Names:
    """The images in a folder ("" or "a/") by what a table may call them."""

    def __init__(self, files: Files, folder: str) -> None:
        self._paths = files.images
        self._folder = folder
        self._same = {_composed(path): path for path in files.images}
        self._stems: dict[str, list[str]] = {}
        for path in files.images:
            self._stems.setdefault(_composed(path.rsplit(".", 1)[0]), []).append(path)

    def find(self, row: Row, where: str) -> str | None:
        """The path of the image that ``row`` names; UserError for a path that is no such thing."""
        if row.file and self._folder + row.file in self._paths:
            return self._folder + row.file
        path = _composed(self._folder + _inside(row.file, f"{where} line {row.line}"))
        if path in self._same:
            return self._same[path]
        found = self._stems.get(path, [])
        if len(found) > 1:
            raise UserError(
                f"{where} line {row.line}: {row.file!r} may be {' or '.join(found)}:"
                " write the suffix"
            )
        return found[0] if found else None


def _composed(path: str) -> str:
    """``path`` with accents composed, as one system writes them and another does not."""
    return unicodedata.normalize("NFC", path)


def _folder_of(path: str) -> str:
    """The folder of ``path`` with its "/"; "" at the top."""
    return path[: path.rfind("/") + 1]


def _inside(cell: str, where: str) -> str:
    path = PurePosixPath(cell)
    outside = path.is_absolute() or ".." in path.parts or re.match(r"[A-Za-z]:", cell)
    if not cell or outside or "\\" in cell:
        raise UserError(
            f"{where}: {cell!r} is not a path inside the folder: write it relative to the folder,"
            " with '/'"
        )
    return path.as_posix()


def _merged(before: _Said | None, now: _Said) -> _Said:
    """One file may stand twice if the rows agree; an empty cell agrees with any."""
    if before is None:
        return now
    for what in ("label", "split"):
        one, two = getattr(before.item, what), getattr(now.item, what)
        if one and two and one != two:
            raise UserError(
                f"{now.where}: {now.item.path} has two {what}s, {one!r} and {two!r}: keep one"
            )
    label, split = before.item.label or now.item.label, before.item.split or now.item.split
    return _Said(Item(now.item.path, label, split), now.where)


def _folders_say(files: Files, said: Mapping[str, _Said]) -> Mapping[str, Item]:
    """What the folders say of the images in them, where they are classes or splits.

    They are classes where the table uses one of their names, or no label. Where it names
    every image, or there are no folders beside one another, they need not be. Raises UserError
    where they may be, as a table that names some images says nothing of the others.
    """
    nested = {path: reader for path, reader in files.images.items() if "/" in path}
    parts = {class_name(part) for path in nested for part in path.split("/")[:-1]}
    labels = {s.item.label for s in said.values()} - {""}
    if nested and (not labels or labels & parts):
        return {item.path: item for item in class_items(replace(files, images=nested))}
    tops = {path.split("/")[0] for path in nested}
    splits = splits_of(tops)
    if any(top not in splits and not is_unlabelled_folder(top) for top in tops):
        splits = {}
    depth = 2 if splits else 1
    groups = {"/".join(path.split("/")[:depth]) for path in nested if path.count("/") >= depth}
    groups = {group for group in groups if not is_unlabelled_folder(group.rsplit("/", 1)[-1])}
    if len(groups) > 1:
        _refuse_partial(nested, said, groups)
    return {path: Item(path, "", splits.get(path.split("/")[0], "")) for path in nested}


def _refuse_partial(
    nested: Iterable[str], said: Mapping[str, _Said], groups: Collection[str]
) -> None:
    """UserError if there are images in the folders ``groups`` that the table does not name."""
    left = [p for p in nested if p not in said and any(p.startswith(g + "/") for g in groups)]
    first = next((s for path, s in said.items() if s.item.label and path in nested), None)
    if left and first:
        raise UserError(
            f"{first.where} labels {first.item.path} {first.item.label!r}, its folder has another"
            f" name, and {left[0]} ({len(left)} in all) is not in the table: make table and"
            " folders agree, or list every image (an empty label is unlabelled)"
        )


def _agreed(path: str, said: _Said | None, folder: Item | None) -> Item:
    """What table and folder say of the image ``path``; UserError where they differ."""
    if said is None or folder is None:
        return folder or (said.item if said else Item(path, ""))
    item = said.item
    for what in ("label", "split"):
        one, two = getattr(item, what), getattr(folder, what)
        if one and two and one != two:
            raise UserError(
                f"{said.where} gives {path} the {what} {one!r}, and its folder says {two!r}:"
                " correct one of them"
            )
    return Item(path, item.label or folder.label, item.split or folder.split)
