"""AUROC of known against unknown images, by score: 5 known classes, 5 unknown, frozen features.

    python benchmarks/accuracy/unknown.py FOLDER/lite2-128

``PREFIX-train.npy`` and ``PREFIX-test.npy`` are features [n, d], ``PREFIX-train-labels.npy`` and
``PREFIX-test-labels.npy`` their classes. In the pool of training rows unknown classes are as
frequent as known ones, rare (a tenth), or absent; the space of points is that of the pool.
Classes, pool and labels are drawn anew in each draw; test rows are scored once.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from lll.methods.features.graph import nearest, neighbour_graph
from lll.methods.features.space import fit_space
from lll.methods.novel import unknown as u
from lll.methods.novel.number import known_shares
from lll.metrics.unknown import auroc

KNOWN, POOL, LABELS = 5, 15_000, (4, 25, 400)
WORLDS = {"frequent": 1.0, "rare": 0.1, "absent": 0.0}


def scores(known: u.Known, test: Tensor, near: tuple[Tensor, Tensor]) -> dict[str, Tensor]:
    """Each score of the test points [m, d], whose neighbours in the pool are ``near``."""
    c, points = known.classes, known.points
    means, weights, scatter = u.class_means(known), u.classifier(known), u.scatter_of(known)
    logits = torch.cat([test, torch.ones(len(test), 1)], dim=1) @ weights
    mass, closeness = u.propagated_mass(known), near[0].clamp(min=0) ** 3
    labelled = points[known.labelled]
    out = {
        "maximum softmax": -logits.softmax(dim=1).amax(dim=1),
        "energy": u.energy(test, weights),
        "Mahalanobis, shrunken": u.mahalanobis(test, *scatter),
        "5th nearest labelled row": -nearest(test, labelled, min(5, len(labelled)))[0][:, -1],
        "class-mean cosine": -(test[:, : u.WIDTH] / test[:, : u.WIDTH].norm(dim=1, keepdim=True)
                               @ means.T).amax(dim=1),
        "class-mean cosines, all": u.mean_cosine(test, means),
        "propagated mass": (mass[near[1]] * closeness).sum(dim=1) / closeness.sum(dim=1),
        "spare slots": u.beyond(test, u.spare_slots(known), c),
        "pool as other": u.beyond(test, u.pool_as_other(known), c),
    }  # fmt: skip
    share = float(known_shares(points, known.labelled, 0).median())
    out["taught"] = u.beyond(test, u.taught(known, share), c)
    three = ("propagated mass", "spare slots", "pool as other")
    out["three ranks"] = sum(u.ranks(out[name]) for name in three)
    out["first study: switched"] = out["three ranks" if share < 0.8 else "class-mean cosine"]
    alone = ("energy", "Mahalanobis, shrunken", "class-mean cosines, all")
    out["labels alone"] = sum(u.ranks(out[name]) for name in alone)
    out["two"] = u.ranks(out["energy"]) + u.ranks(out["Mahalanobis, shrunken"])
    out["ours: switched"] = out[
        "taught" if share < u.switch(int(known.labelled.sum())) else "labels alone"
    ]
    out["known share, %"] = torch.tensor([share])
    return out


def measure(prefix: str, draws: int, only: list[str]) -> Iterator[tuple[str, str, int, float]]:
    """Score, world, labels per class, and AUROC in percent (or the share)."""
    features, truth, tested, test_truth = (
        np.load(f"{prefix}-{name}.npy", mmap_mode="r")
        for name in ("train", "train-labels", "test", "test-labels")
    )
    for world in only:
        for draw in range(draws):
            rng = np.random.default_rng([11, draw])
            classes = rng.permutation(10)[:KNOWN]
            rows = _pool(rng, truth, classes, WORLDS[world])
            plain = torch.from_numpy(features[rows])
            space = fit_space(plain, plain[None])
            graph = neighbour_graph(space.points[:, : u.WIDTH])
            test = space.transform(torch.from_numpy(np.array(tested)))
            near = nearest(test[:, : u.WIDTH], space.points[:, : u.WIDTH], 15)
            unknown = ~np.isin(test_truth, classes)
            for labels in LABELS:
                targets = torch.from_numpy(_targets(rng, truth[rows], classes, labels))
                known = u.Known(space.points, targets, KNOWN, graph)
                for name, score in scores(known, test, near).items():
                    found = float(score) if len(score) == 1 else auroc(unknown, score.numpy())
                    yield name, world, labels, 100 * found


def _pool(
    rng: np.random.Generator, truth: NDArray[np.int64], classes: NDArray[np.int64], share: float
) -> NDArray[np.intp]:
    rows = rng.permutation(len(truth))[:POOL]
    inside = np.isin(truth[rows], classes)
    outside = rows[~inside]
    kept = outside[: int(share * len(outside))]
    return np.asarray(np.sort(np.concatenate([rows[inside], kept])))


def _targets(
    rng: np.random.Generator, truth: NDArray[np.int64], classes: NDArray[np.int64], labels: int
) -> NDArray[np.int64]:
    targets = np.full(len(truth), -1)
    for number, c in enumerate(classes):
        targets[rng.permutation(np.flatnonzero(truth == c))[:labels]] = number
    return targets


def main() -> None:
    """Print the table."""
    parse = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parse.add_argument("prefix", type=Path, help="path of the feature files up to -train.npy")
    parse.add_argument("--draws", type=int, default=5)
    parse.add_argument("--worlds", default=",".join(WORLDS), help="of the pool")
    given = parse.parse_args()
    only, found = given.worlds.split(","), {}
    for name, world, labels, value in measure(str(given.prefix), given.draws, only):
        found.setdefault((name, world, labels), []).append(value)
    say = sys.stdout.write
    say("| score | " + " | ".join(f"{w} {n}" for w in only for n in LABELS) + " |\n")
    say("|---" * (1 + len(only) * len(LABELS)) + "|\n")
    for name in dict.fromkeys(name for name, _, _ in found):
        cells = [found[name, world, labels] for world in only for labels in LABELS]
        shown = " | ".join(f"{np.mean(c):.1f} ± {np.std(c):.1f}" for c in cells)
        say(f"| {name} | {shown} |\n")


if __name__ == "__main__":
    main()
