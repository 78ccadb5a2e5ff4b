"""Labels of a folder's own store, from and to files that other programs read."""

from __future__ import annotations

import io
import json
import os
import shutil
import unicodedata
from collections.abc import Callable, Mapping, Sequence
from dataclasses import astuple, dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote

from lll.data.budgets import MAX_TABLE_BYTES
from lll.data.files import make_files
from lll.data.formats import suffix_of
from lll.data.paths import as_text
from lll.data.sources.cells import read_rows
from lll.data.sources.own import read_own
from lll.data.walk import walk
from lll.errors import UserError
from lll.labels.store import Event, State, checked_name, open_store
from lll.words import csv_text, size

COLUMNS = ("path", "label", "origin", "time")


@dataclass(frozen=True)
class Row:
    """An exported label: the path in the folder, the class, and who gave it when (ISO 8601)."""

    path: str
    label: str
    origin: str
    time: str


def import_labels(folder: Path, table: Path) -> tuple[int, int]:
    """Add the labels of the CSV ``table`` (path, label); how many, and how many new classes.

    Paths are relative to ``folder``, or begin at the root. Rows without a label are passed over,
    and labels that are there already. All of them are one batch. Raises UserError for a row that
    names no image of the folder, and for an image with two labels.
    """
    labels = _rows(folder, table)
    with open_store(folder, write=True) as store:
        events, classes = _events(labels, store.state())
        store.append(events)
    return sum(len(event.images) for event in events), classes


def _rows(folder: Path, table: Path) -> dict[str, str]:
    where = as_text(str(table))
    try:
        if table.stat().st_size > MAX_TABLE_BYTES:
            raise UserError(f"{where} is larger than {size(MAX_TABLE_BYTES)}: split it")
        data = table.read_bytes()
    except OSError as error:
        raise UserError(f"{where} cannot be read ({error.strerror}): check the path") from None
    if not folder.is_dir():
        raise UserError(f"{folder}: no such folder: check the path")
    images = {_composed(path): path for path in make_files("", walk(folder)).images}
    labels: dict[str, str] = {}
    for row in read_rows(data, where, lines=suffix_of(where) == ".jsonl", needs_label=True):
        path = images.get(_composed(_inside(row.file, folder)))
        if path is None:
            raise UserError(
                f"{where} line {row.line}: {row.file!r} is not an image in {folder}: correct"
                " the path or remove the row"
            )
        if row.label and labels.setdefault(path, row.label) != row.label:
            raise UserError(
                f"{where} line {row.line}: {path} has two labels, {labels[path]!r} and"
                f" {row.label!r}: keep one"
            )
    return labels


def _composed(path: str) -> str:
    return unicodedata.normalize("NFC", path)


def _inside(cell: str, folder: Path) -> str:
    path = Path(cell)
    if path.is_absolute() and path.is_relative_to(folder.resolve()):
        path = path.relative_to(folder.resolve())
    return path.as_posix()


def _events(labels: Mapping[str, str], state: State) -> tuple[list[Event], int]:
    """Events that add ``labels`` (path to class) to ``state``; the number of new classes."""
    known = {name: state.named(checked_name(name)) for name in sorted(set(labels.values()))}
    new = [name for name, class_id in known.items() if class_id is None]
    ids = known | {name: state.next_class + number for number, name in enumerate(new)}
    events = [Event("class", name=name, origin="import") for name in new]
    for name, class_id in ids.items():
        images = tuple(
            path
            for path, label in labels.items()
            if label == name and state.class_of(path) != class_id
        )
        if images:
            events.append(Event("label", images, class_id=class_id, origin="import"))
    return events, len(new)


def labels_of_folder(folder: Path) -> list[Row]:
    """Every label of the store of ``folder`` whose image is there, by path."""
    own = read_own(folder, walk(folder))
    return [Row(p, own.labels[p], *astuple(own.givers[p])) for p in sorted(own.labels)]


def as_csv(rows: Sequence[Row]) -> bytes:
    """``rows`` as CSV, with its header; cells that a spreadsheet would run have a ' before them."""
    return csv_text([COLUMNS, *map(astuple, rows)]).encode(errors="surrogateescape")


def as_parquet(rows: Sequence[Row]) -> bytes:
    """``rows`` as a Parquet file of four columns of text."""
    import pyarrow
    import pyarrow.parquet

    columns = zip(*map(astuple, rows), strict=True) if rows else [()] * len(COLUMNS)
    arrays = [pyarrow.array(column, pyarrow.string()) for column in columns]
    out = io.BytesIO()
    pyarrow.parquet.write_table(pyarrow.table(arrays, names=list(COLUMNS)), out)
    return out.getvalue()


def as_label_studio(rows: Sequence[Row]) -> bytes:
    """``rows`` as tasks of Label Studio with their annotations, a JSON list.

    For a project with an ``Image`` called ``image`` of ``$image`` and ``Choices`` called
    ``choice``, on a machine whose root of local files is the folder.
    """
    return (json.dumps([_task(row) for row in rows], indent=1) + "\n").encode()


def _task(row: Row) -> dict[str, Any]:
    path = quote(row.path, errors="surrogatepass")
    result = {
        "from_name": "choice",
        "to_name": "image",
        "type": "choices",
        "value": {"choices": [row.label]},
    }
    return {
        "data": {"image": f"/data/local-files/?d={path}"},
        "annotations": [{"result": [result], "created_at": row.time}],
        "meta": {"path": row.path, "origin": row.origin},
    }


Writer = Callable[[Sequence[Row]], bytes]
FORMATS: Mapping[str, tuple[str, Writer]] = {
    "csv": (".csv", as_csv),
    "parquet": (".parquet", as_parquet),
    "label-studio": (".json", as_label_studio),
}
"""The formats of one file, by name: how it is called and what makes it."""
FOLDERS = "folders"


def format_of(out: Path) -> str:
    """The format that the name of ``out`` means; class `FOLDERS` where it means no other."""
    found = [name for name, (suffix, _) in FORMATS.items() if out.suffix.lower() == suffix]
    return found[0] if found else FOLDERS


def as_folders(rows: Sequence[Row], folder: Path, out: Path, *, link: bool) -> None:
    """A copy of each image, or a hard link, in a folder of ``out`` called as its class.

    Raises UserError for a folder ``out`` that is not empty or lies in ``folder``, and where a
    file cannot be written.
    """
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise UserError(f"{out}: exists already: choose another folder")
    if out.resolve().is_relative_to(folder.resolve()):
        raise UserError(f"{out}: lies in {folder}, where copies are new photos: choose another")
    put = os.link if link else shutil.copy2
    for row in rows:
        target = out / _file_name(row.label) / row.path.replace("/", "__")
        try:
            target.parent.mkdir(parents=True, exist_ok=True)
            put(folder / row.path, target)
        except OSError as error:
            raise UserError(
                f"{target}: cannot be written ({error.strerror}): check permissions"
            ) from None


def _file_name(name: str) -> str:
    """A class name as a folder may be called, in sight and inside its parent."""
    return "".join("_" if c in '/\\:*?"<>|' else c for c in name).lstrip(".") or "_"
