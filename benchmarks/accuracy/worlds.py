"""Simulated worlds: pools in which some classes are known by labels and others are not."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

Classes = NDArray[np.int64]
HERE = Path(__file__).resolve().parent
HALF = 0
"""So many labels of a class: half of its rows."""
FACTORS = {  # size of an unknown class, in sizes of a known one; None: all from a long tail
    "frequent": 1.0,
    "rare": 0.1,
    "absent": 0.0,
    "smaller": 1 / 3,
    "larger": 3.0,
    "tail": None,
}
TAIL = 50.0  # largest over smallest class


@dataclass(frozen=True)
class World:
    """Sorted ``rows`` [n] of a pool, their ``targets`` [n] (0 to known - 1, or -1), ``classes``.

    The known classes come first in ``classes``, then those that nobody has named.
    """

    rows: NDArray[np.intp]
    targets: Classes
    classes: Classes
    known: int

    def inside(self, truth: Classes) -> Classes:
        """The position in ``classes`` of each of ``truth`` [n]; -1 for a class of another world."""
        place = np.full(int(max(truth.max(), self.classes.max())) + 1, -1)
        place[self.classes] = np.arange(len(self.classes))
        return place[truth]


def deal(
    truth: Classes, kind: str, known: int, new: int, labels: int, most: int, seed: tuple[int, ...]
) -> World:
    """A world of ``known`` and ``new`` classes of ``truth`` [n], drawn by ``seed``.

    ``most`` rows of the largest class at most; ``labels`` of each known class, half of its rows
    where that is fewer, or `HALF`. The classes and rows drawn are the same for any ``labels``.
    """
    rng = np.random.default_rng(seed)
    classes = rng.permutation(int(truth.max()) + 1)[: known + new]
    factor = FACTORS[kind]
    if factor is None:
        count = len(classes)
        sizes = most * rng.permutation(TAIL ** (-np.arange(count) / max(count - 1, 1)))
    else:
        size = most / max(factor, 1.0)
        sizes = np.array([size] * known + [factor * size] * new)
    rows, targets = [], []
    for number, (c, size) in enumerate(zip(classes, sizes, strict=True)):
        mine = rng.permutation(np.flatnonzero(truth == c))[: round(size)]
        target = np.full(len(mine), -1)
        if number < known:
            half = max(len(mine) // 2, 1)
            target[: min(labels, half) if labels else half] = number
        rows.append(mine)
        targets.append(target)
    order = np.argsort(np.concatenate(rows))
    return World(np.concatenate(rows)[order], np.concatenate(targets)[order], classes, known)


def table(head: Iterable[str], rows: Iterable[Iterable[str]]) -> str:
    """A Markdown table."""
    names = list(head)
    lines = [names, ["---"] * len(names), *map(list, rows)]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines) + "\n"


def cell(values: Iterable[float]) -> str:
    """Mean ± standard deviation in percent."""
    found = 100 * np.array(list(values))
    return f"{found.mean():.1f} ± {found.std(ddof=1) if len(found) > 1 else 0:.1f}"


def save(name: str, given: Mapping[str, Any], found: Iterable[Mapping[str, Any]]) -> Path:
    """Write what was measured, and the arguments ``given``, into the folder of results."""
    path = HERE / "results" / f"{name}.json"
    path.parent.mkdir(exist_ok=True)
    lines = ",\n  ".join(json.dumps(each) for each in found)
    shown = json.dumps({**given, "data": Path(given["data"]).name})
    script = Path(sys.argv[0]).stem
    words = [word if word != given["data"] else Path(word).name for word in sys.argv[1:]]
    command = f"python -m benchmarks.accuracy.{script} {' '.join(words)}"
    path.write_text(
        f'{{"command": "{command}",\n "given": {shown},\n "found": [\n  {lines}\n]}}\n',
        encoding="utf-8",
    )
    return path
