"""Accuracy of groups on known and new classes, on frozen features.

    python -m benchmarks.accuracy.discover DATA            scores validation images
    python -m benchmarks.accuracy.discover DATA --test     once all is fixed

DATA as for `lll train`; features come from the product's own cache, or are encoded. 5 classes are
known, by half of their images or by 10 labels each, 5 are new, and their number is given; in the
long tail (50:1) sizes are dealt to classes at random. New groups are matched to new classes alone
(Hungarian method); "all slots" matches all groups to all classes, as ORCA does.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator
from typing import Any

import torch
from benchmarks.accuracy.features import Material, material, near_space
from benchmarks.accuracy.worlds import HALF, cell, deal, save, table

from lll.methods.novel.groups import group
from lll.methods.novel.number import known_share_of
from lll.metrics.discovery import discovery_accuracy

KNOWN = NEW = 5
SETTINGS = {  # kind of world, and labels of a known class
    "half": ("frequent", HALF),
    "10 labels": ("frequent", 10),
    "half, tail": ("tail", HALF),
    "10 labels, tail": ("tail", 10),
}
HEAD = ("all", "known", "new", "all_slots")


def measure(m: Material, setting: str, seed: tuple[int, int], most: int) -> dict[str, Any]:
    """Shares of images that are right."""
    kind, labels = SETTINGS[setting]
    world = deal(m.viewed, kind, KNOWN, NEW, labels, most, seed)
    space = near_space(m, world.rows)
    targets = torch.from_numpy(world.targets)
    share = known_share_of(space.points, targets, KNOWN, NEW, seed[1])
    found = group(space.points, targets, KNOWN, NEW, share, seed[1])
    of, _ = found.placed(space.of(m.scored[:, : m.last]).points)
    return vars(discovery_accuracy(of.numpy(), world.inside(m.answers), KNOWN))


def run(m: Material, given: argparse.Namespace) -> Iterator[dict[str, Any]]:
    """One dictionary for each world."""
    for setting in given.settings.split("|"):
        for draw in range(given.draws):
            found = measure(m, setting, (given.seed, draw), given.rows)
            yield {"setting": setting, "draw": draw} | found


def main() -> None:
    """Print the table and write every number."""
    parse = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parse.add_argument("data", help="as for `lll train`")
    parse.add_argument("--encoder", default="efficientnet_lite2")
    parse.add_argument("--draws", type=int, default=5)
    parse.add_argument("--seed", type=int, default=1, help="of the draws")
    parse.add_argument("--rows", type=int, default=4500, help="of the largest class in the pool")
    parse.add_argument("--settings", default="|".join(SETTINGS), help="with | between")
    parse.add_argument("--test", action="store_true", help="score the test images")
    given = parse.parse_args()
    torch.set_grad_enabled(False)
    m, found = material(given.data, given.encoder, given.test), []
    for each in run(m, given):
        found.append(each)
        sys.stderr.write(f"{each}\n")
    save(
        f"discover-{m.prepared.facts.name}-{'test' if given.test else 'validation'}",
        vars(given),
        found,
    )
    rows = [
        [name, *(cell(e[k] for e in found if e["setting"] == name) for k in HEAD)]
        for name in given.settings.split("|")
    ]
    sys.stdout.write(table(["in %", *HEAD], rows))


if __name__ == "__main__":
    main()
