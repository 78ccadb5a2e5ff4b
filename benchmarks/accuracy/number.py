"""How far the estimated number of new classes is off, against constants, in simulated worlds.

    python -m benchmarks.accuracy.number DATA

DATA as for `lll train`; features come from the product's own cache, or are encoded. 5 classes are
known (by half of their images, by 10 labels each, or by a tenth to nearly all of their images), and
none to 5 are new: as large as known ones, a third, three times as large, or all of a long tail
(50:1). Errors are of known and new
classes together, as a share of their true number. A constant guesses the same total everywhere, and
the best one is chosen by looking at the answers. "shrunken" is the root of 1.5 times the estimate
of new classes: sizes are not known, so large numbers are doubted. "in range": how often the truth
is from ``low`` to ``high``. Training images are all that is looked at.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator
from typing import Any

import numpy as np
import torch
from benchmarks.accuracy.features import Material, material, near_space
from benchmarks.accuracy.worlds import HALF, World, cell, deal, save, table
from numpy.typing import NDArray

from lll.methods.features.space import Space
from lll.methods.novel.number import estimate_number

KNOWN = 5
KINDS = {"frequent": "equal", "smaller": "smaller", "larger": "larger", "tail": "tail"}
NEW, LABELS = (0, 2, 5), {HALF: "half", 10: "10 labels"}
UNEVEN = (0.95, 0.8, 0.5, 0.25, 0.1)  # shares of the known classes that have a label


def run(m: Material, given: argparse.Namespace) -> Iterator[dict[str, Any]]:
    """One dictionary for each world."""
    for kind, shown in KINDS.items():
        for new in NEW if kind == "frequent" else NEW[1:]:
            for draw in range(given.draws):
                space = None
                for labels, said in LABELS.items():
                    seed = (given.seed, draw)
                    world = deal(m.viewed, kind, KNOWN, new, labels, given.rows, seed)
                    if space is None:
                        space = near_space(m, world.rows)
                    where = {"world": f"{shown}, {said}", "new": new, "draw": draw}
                    yield where | estimated(space, world.targets, draw)
                where = {"world": f"{shown}, uneven", "new": new, "draw": draw}
                yield where | estimated(space, uneven(m, world, seed), draw)


def uneven(m: Material, world: World, seed: tuple[int, ...]) -> NDArray[np.int64]:
    """The targets [n] of a ``world`` whose known classes have labels for shares of `UNEVEN`."""
    rng, inside = np.random.default_rng(seed), world.inside(m.truth[world.rows])
    targets = np.full(len(inside), -1)
    for c, share in enumerate(UNEVEN):
        mine = rng.permutation(np.flatnonzero(inside == c))
        targets[mine[: max(round(share * len(mine)), 1)]] = c
    return targets


def estimated(space: Space, targets: NDArray[np.int64], draw: int) -> dict[str, Any]:
    """The number of new classes and its range."""
    found = estimate_number(space.points, torch.from_numpy(targets), KNOWN, draw)
    return {"estimate": found.new, "low": found.low, "high": found.high}


def error(each: dict[str, Any], guess: float) -> float:
    """How far ``guess`` new classes are off, as a share of all classes."""
    return abs(guess - each["new"]) / (KNOWN + each["new"])


def rows_of(found: list[dict[str, Any]]) -> Iterator[list[str]]:
    """A row for each kind of world, and one for all."""
    guesses = np.arange(0, 8)
    best = int(np.argmin([np.mean([error(e, g) for e in found]) for g in guesses]))
    for name in [*dict.fromkeys(e["world"] for e in found), "all"]:
        mine = [e for e in found if name in (e["world"], "all")]
        yield [
            name,
            cell(error(e, e["estimate"]) for e in mine),
            cell(error(e, best) for e in mine) + f" ({KNOWN + best})",
            cell(error(e, round((1.5 * e["estimate"]) ** 0.5)) for e in mine),
            f"{100 * np.mean([e['low'] <= e['new'] <= e['high'] for e in mine]):.0f}",
            str(len(mine)),
        ]


def main() -> None:
    """Print the table and write every number."""
    parse = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parse.add_argument("data", help="as for `lll train`")
    parse.add_argument("--encoder", default="efficientnet_lite2")
    parse.add_argument("--draws", type=int, default=3)
    parse.add_argument("--seed", type=int, default=2, help="of the draws")
    parse.add_argument("--rows", type=int, default=900, help="of the largest class in the pool")
    given = parse.parse_args()
    torch.set_grad_enabled(False)
    m, found = material(given.data, given.encoder, test=False), []
    for each in run(m, given):
        found.append(each)
        sys.stderr.write(f"{each}\n")
    save(f"number-{m.prepared.facts.name}", vars(given), found)
    head = ["error, %", "estimate", "best constant", "shrunken", "in range, %", "worlds"]
    sys.stdout.write(table(head, rows_of(found)))


if __name__ == "__main__":
    main()
