"""Predictions of the gradual benchmark as CSV: anybody's can be read, ours are written."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.csv as pcsv
from benchmarks.accuracy.gradual_score import Answers
from numpy.typing import NDArray

from lll.errors import UserError

NEEDED = ("order", "draw", "stage", "id", "answer")
ALL_OF = (*NEEDED, "probability", "unknown")
NUMBERS = {"order", "draw", "stage"}


@dataclass(frozen=True)
class Predictions:
    """Of the images ``ids`` [n] at one stage: the class, or the name of a group, and how sure."""

    order: int
    draw: int
    stage: int
    ids: NDArray[np.str_]
    answer: NDArray[np.str_]
    probability: NDArray[np.float64]
    unknown: NDArray[np.float64]


def write_predictions(path: Path, stages: Iterable[Predictions]) -> None:
    """Write ``stages`` as one CSV, whole or not at all."""
    tables = []
    for each in stages:
        n = len(each.ids)
        where = [pa.array(np.full(n, x)) for x in (each.order, each.draw, each.stage)]
        texts = [pa.array(column.tolist()) for column in (each.ids, each.answer)]
        numbers = [pa.array(column.round(6)) for column in (each.probability, each.unknown)]
        tables.append(pa.table([*where, *texts, *numbers], names=list(ALL_OF)))
    half = path.with_suffix(".part")
    pcsv.write_csv(pa.concat_tables(tables), half)
    half.replace(path)


def read_predictions(
    path: Path, ids: NDArray[np.str_], class_names: Sequence[str]
) -> dict[tuple[int, int, int], Answers]:
    """Answers to the images ``ids`` [n], in their order, by order, draw and stage.

    ``path`` is a CSV, or a folder of them. ``probability`` and ``unknown`` may be missing: the
    latter is then one minus the former. Names that are no class are groups. Raises
    UserError for what is missing, for an image that is answered twice and for an unknown image.
    """
    files = sorted(path.glob("*.csv")) if path.is_dir() else [path]
    if not files:
        raise UserError(f"{path}: no CSV in it")
    found: dict[tuple[int, int, int], Answers] = {}
    for file in files:
        columns = _columns(file)
        keys = np.stack([columns[name] for name in ("order", "draw", "stage")], axis=1)
        for key in np.unique(keys, axis=0):
            mine = {name: column[(keys == key).all(axis=1)] for name, column in columns.items()}
            where = "order {}, draw {}, stage {}".format(*key)
            found[tuple(key.tolist())] = _answers(mine, ids, class_names, f"{file}, {where}")
    return found


def _columns(file: Path) -> dict[str, NDArray[np.generic]]:
    """The columns by name, checked."""
    types = {name: pa.int64() for name in NUMBERS} | {
        "id": pa.string(),
        "answer": pa.string(),
        "probability": pa.float64(),
        "unknown": pa.float64(),
    }
    options = pcsv.ConvertOptions(column_types=types, strings_can_be_null=False)
    try:
        table = pcsv.read_csv(file, convert_options=options)
    except (OSError, pa.ArrowInvalid) as error:
        raise UserError(f"{file}: cannot be read: {str(error).splitlines()[0]}") from None
    if missing := [name for name in NEEDED if name not in table.column_names]:
        raise UserError(f"{file}: no column {missing[0]!r}: it needs {', '.join(NEEDED)}")
    columns = {name: np.array(table[name]) for name in ALL_OF if name in table.column_names}
    columns.setdefault("probability", np.full(len(table), np.nan))
    columns.setdefault("unknown", 1 - columns["probability"])
    return columns


def _answers(
    mine: dict[str, NDArray[np.generic]],
    ids: NDArray[np.str_],
    class_names: Sequence[str],
    where: str,
) -> Answers:
    """The rows of one stage in the order of ``ids``."""
    place = {name: at for at, name in enumerate(mine["id"].tolist())}
    if len(place) < len(mine["id"]):
        raise UserError(f"{where}: an image is answered twice")
    absent = [name for name in ids.tolist() if name not in place]
    if absent or len(place) > len(ids):
        what = f"no answer to {absent[0]!r}" if absent else "answers to other images"
        raise UserError(f"{where}: {what}: all {len(ids)} images that are scored need one")
    at = np.array([place[name] for name in ids.tolist()])
    index = {name: number for number, name in enumerate(class_names)}
    of = [index.setdefault(name, len(index)) for name in mine["answer"].tolist()]
    return Answers(
        np.array(of, dtype=np.int64)[at],
        mine["probability"][at].astype(np.float64),
        mine["unknown"][at].astype(np.float64),
    )
