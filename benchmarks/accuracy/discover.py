"""Accuracy of groups on known and new classes, and the number estimated, on frozen features.

    python benchmarks/accuracy/discover.py FOLDER/lite2-128

Files as in `unknown.py`. 5 classes are known, by half of their images or by 10 labels each, 5 are
new, and their number is given; in the long tail (50:1) sizes are dealt to classes at random.
New groups are matched to new classes alone, on test rows (Hungarian method); "all slots" matches
all groups to all classes, as ORCA does. The number is estimated in a column of its own.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from lll.methods.features.space import fit_space
from lll.methods.novel.groups import group
from lll.methods.novel.number import estimate_number, known_share_of
from lll.metrics.discovery import discovery_accuracy

KNOWN = 5
Classes = NDArray[np.int64]
SETTINGS = {  # labels of a known class (0: half of its images), and largest over smallest class
    "half": (0, 1.0),
    "10 labels": (10, 1.0),
    "half, tail": (0, 50.0),
    "10 labels, tail": (10, 50.0),
}
HEAD = ("setting", "all", "known", "new", "all slots", "number of new (low to high)")


def deal(
    rng: np.random.Generator, truth: Classes, labels: int, tail: float, most: int
) -> tuple[NDArray[np.intp], Classes, Classes]:
    """Rows of a pool, their targets (known classes counted from 0, else -1), and the known ones."""
    classes = rng.permutation(10)[:KNOWN]
    sizes = rng.permutation([tail ** (-c / 9) for c in range(10)]) * min(most // 10, 5000)
    parts, targets = [], []
    for c in range(10):
        rows = rng.permutation(np.flatnonzero(truth == c))[: int(sizes[c])]
        target = np.full(len(rows), -1)
        if c in classes:
            target[: labels or len(rows) // 2] = np.flatnonzero(classes == c)[0]
        parts.append(rows)
        targets.append(target)
    rows, target = np.concatenate(parts), np.concatenate(targets)
    order = np.argsort(rows)
    return rows[order], target[order], classes


def measure(prefix: str, setting: str, draw: int, most: int) -> list[float]:
    """All, known, new and all-slots accuracy in percent, the number estimated, its bounds."""
    features, truth, tested, test_truth = (
        np.load(f"{prefix}-{name}.npy", mmap_mode="r")
        for name in ("train", "train-labels", "test", "test-labels")
    )
    labels, tail = SETTINGS[setting]
    rows, target, classes = deal(np.random.default_rng([13, draw]), truth, labels, tail, most)
    plain = torch.from_numpy(features[rows])
    space = fit_space(plain, plain[None])
    targets = torch.from_numpy(target)
    number = estimate_number(space.points, targets >= 0, KNOWN, draw)
    share = known_share_of(space.points, targets >= 0, KNOWN, 10 - KNOWN, draw)
    found = group(space.points, targets, KNOWN, 10 - KNOWN, share, draw)
    of, _ = found.placed(space.transform(torch.from_numpy(np.array(tested))))
    rank = np.argsort(np.concatenate([classes, np.setdiff1d(np.arange(10), classes)]))
    scores = discovery_accuracy(of.numpy(), rank[test_truth], KNOWN)
    shares = (scores.all, scores.known, scores.new, scores.all_slots)
    return [100 * s for s in shares if s is not None] + [number.new, number.low, number.high]


def main() -> None:
    """Print the table."""
    parse = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parse.add_argument("prefix", type=Path, help="path of the feature files up to -train.npy")
    parse.add_argument("--draws", type=int, default=5)
    parse.add_argument("--rows", type=int, default=50_000, help="training rows at most")
    parse.add_argument("--settings", default="|".join(SETTINGS), help="with | between")
    given = parse.parse_args()
    say = sys.stdout.write
    say(f"| {' | '.join(HEAD)} |\n{'|---' * len(HEAD)}|\n")
    for setting in given.settings.split("|"):
        found = [measure(str(given.prefix), setting, d, given.rows) for d in range(given.draws)]
        cells = [f"{np.mean(c):.1f} ± {np.std(c):.1f}" for c in list(zip(*found, strict=True))[:4]]
        numbers = ", ".join(f"{int(f[4])} ({int(f[5])} to {int(f[6])})" for f in found)
        say(f"| {setting} | {' | '.join(cells)} | {numbers} |\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main()
