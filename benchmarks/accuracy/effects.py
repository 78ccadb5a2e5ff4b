"""Main effects and interactions of a factorial sweep, paired by seed, with 95% intervals.

    lll compare benchmarks/accuracy/cells-digits.toml
    python benchmarks/accuracy/effects.py runs/cells-digits

The name of a schedule says which factors are on in it: ``none``, ``labels``, ``labels+rate`` ...;
all 2^k cells must be there. Each effect is a contrast of the cells of one seed: the mean accuracy
with the factor on, minus that with it off. An interaction of two is half of what the effect of
one is larger by where the other is on; so on for more. Over seeds: mean and Student's t interval.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Mapping, Sequence
from itertools import combinations
from math import prod
from pathlib import Path
from typing import Any

from lll.bench.compare import paired_difference
from lll.errors import UserError
from lll.words import points

Cell = frozenset[str]


def effects(cells: Mapping[Cell, Mapping[str, float]]) -> dict[str, dict[str, Any]]:
    """Each effect by name, as `paired_difference` gives it; ``cells`` hold accuracies by seed.

    Only seeds that every cell has count. Raises UserError for a cell that is not there.
    """
    factors = list(dict.fromkeys(f for cell in sorted(cells, key=len) for f in sorted(cell)))
    every = [Cell(some) for some in subsets(factors)]
    if missing := [cell for cell in every if cell not in cells]:
        raise UserError(f"no cell {name_of(missing[0])!r}: the sweep needs all {len(every)}")
    seeds = [seed for seed in cells[every[0]] if all(seed in cells[cell] for cell in every)]
    return {
        name_of(effect): paired_difference(
            [
                sum(sign(effect, cell) * cells[cell][seed] for cell in every) / (len(every) / 2)
                for seed in seeds
            ]
        )
        or {}
        for effect in every
        if effect
    }


def subsets(factors: Sequence[str]) -> list[tuple[str, ...]]:
    """None of the factors, each one, each two, ..."""
    return [some for count in range(len(factors) + 1) for some in combinations(factors, count)]


def sign(effect: Cell, cell: Cell) -> int:
    """Whether ``cell`` counts for or against ``effect``: a factor that is off turns it round."""
    return prod(1 if factor in cell else -1 for factor in effect)


def name_of(cell: Cell) -> str:
    """As schedules are named."""
    return "+".join(sorted(cell)) or "none"


def cells_of(rows: Sequence[Mapping[str, Any]]) -> dict[Cell, dict[str, float]]:
    """Accuracies by seed of each row of a comparison, by the factors that are on."""
    return {Cell(set(row["schedule"].split("+")) - {"none"}): dict(row["by_seed"]) for row in rows}


def table(found: Mapping[str, Mapping[str, Any]]) -> str:
    """One line for each effect, in points."""
    lines = ["| effect | points | 95% interval | n |", "|---|---|---|---|"]
    for name, each in found.items():
        low, high = (points(end) for end in each["interval"] or (None, None))
        lines.append(f"| {name} | {points(each['mean'])} | [{low}, {high}] | {each['n']} |")
    return "\n".join(lines)


def main(arguments: Sequence[str] | None = None) -> None:
    """Print a table for each method and label budget of the comparison."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("sweep", type=Path, help="folder of `lll compare`")
    path = parser.parse_args(arguments).sweep / "comparison.json"
    rows = json.loads(path.read_text("utf-8"))["rows"]
    for method, labels in dict.fromkeys((row["method"], row["labels"]) for row in rows):
        mine = [row for row in rows if (row["method"], row["labels"]) == (method, labels)]
        sys.stdout.write(f"{method}, labels {labels}\n\n{table(effects(cells_of(mine)))}\n\n")


if __name__ == "__main__":
    main()
