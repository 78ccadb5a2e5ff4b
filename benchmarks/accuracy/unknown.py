"""AUROC of known against unknown images, by score: 5 known classes, 5 unknown, frozen features.

    python -m benchmarks.accuracy.unknown DATA            scores validation images
    python -m benchmarks.accuracy.unknown DATA --test     once all is fixed

DATA as for `lll train`; features come from the product's own cache, or are encoded. In the pool
unknown classes are as frequent as known ones, rare (a tenth), absent, or all classes are of a long
tail. Classes, pool and labels are drawn anew in each draw. The space of points is made from the
pool alone, as a run does; ``--space all`` makes it from training images of all classes, which
a run whose pool holds no unknown class cannot. "saved" is what `lll train` saves with a run; its
calibration error and alarms follow.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator
from typing import Any

import numpy as np
import torch
from benchmarks.accuracy.features import Material, material, near_space
from benchmarks.accuracy.worlds import World, cell, deal, save, table
from torch import Tensor

from lll.methods.features.graph import nearest, neighbour_graph
from lll.methods.features.softmax import with_ones
from lll.methods.features.space import Space
from lll.methods.novel import unknown as u
from lll.methods.novel.scorer import Unknown
from lll.metrics.unknown import auroc, calibration_error

KNOWN, LABELS = 5, (4, 25, 400)
WORLDS = ("frequent", "rare", "absent", "tail")


def labels_alone(known: u.Known, test: Tensor) -> dict[str, Tensor]:
    """The scores of ``test`` [m, d] that need labelled rows alone."""
    weights, scatter = u.classifier(known), u.scatter_of(known)
    labelled = known.points[known.labelled]
    unit = torch.nn.functional.normalize(test[:, : u.WIDTH], dim=1)
    return {
        "greatest softmax": -(with_ones(test) @ weights).softmax(dim=1).amax(dim=1),
        "energy": u.energy(test, weights),
        "Mahalanobis, shrunken": u.mahalanobis(test, *scatter),
        "5th nearest labelled row": -nearest(test, labelled, min(5, len(labelled)))[0][:, -1],
        "class-mean cosine": -(unit @ u.class_means(known).T).amax(dim=1),
    }


def with_the_pool(known: u.Known, test: Tensor, share: float) -> dict[str, Tensor]:
    """Scores of ``test`` [m, d] that look at the pool, ``share`` of which is known."""
    c, points = known.classes, known.points
    near, rows = nearest(test[:, : u.WIDTH], points[:, : u.WIDTH], 15)
    close = near.clamp(min=0) ** 3
    mass = (u.propagated_mass(known)[rows] * close).sum(dim=1) / close.sum(dim=1)
    three = (
        mass,
        u.beyond(test, u.spare_slots(known), c),
        u.beyond(test, u.pool_as_other(known), c),
    )
    alone = u.places_of(known).score(points)
    return {
        "three ranks": torch.stack([u.ranks(score) for score in three]).sum(dim=0),
        "taught": u.beyond(test, u.taught(known, share), c),
        "settled": u.settled(known, alone, share).score(test),
    }


def measure(
    m: Material, space: Space, world: World, full: bool, seed: int
) -> Iterator[tuple[str, float]]:
    """Scores and their AUROC, and what else is measured, in one world."""
    outside = world.inside(m.answers) >= KNOWN
    there = space.of(m.scored[:, : m.last])
    points, test, others = space.points, there.points, space.transform.others
    targets = torch.from_numpy(world.targets)
    saved = Unknown()
    share = saved.fit(space.looks, targets, KNOWN, seed, others)
    known = u.Known(points, targets, KNOWN, seed=seed)
    scores = labels_alone(known, test)
    scene = space.looks[:, points.shape[1] :], there.looks[:, points.shape[1] :]
    if len(others):
        means = u.mean_directions(known, scene[0])
        scores["as the encoder's own classes"] = u.foreign(scene[1], means, others)
    if full:
        graph = neighbour_graph(points[:, : u.WIDTH])
        scores |= with_the_pool(u.Known(points, targets, KNOWN, graph, seed), test, share)
    told = saved(there.looks).numpy()
    scores["saved"] = torch.from_numpy(told)
    yield from ((name, auroc(outside, score.numpy())) for name, score in scores.items())
    yield "saved: calibration error", calibration_error(outside, told)
    yield "saved: unknown ones found", float((told[outside] >= saved.LIMIT).mean())
    yield "saved: false alarms", float((told[~outside] >= saved.LIMIT).mean())
    yield "share of known ones, estimated", share
    free = world.inside(m.truth[world.rows[world.targets < 0]])
    yield "share of known ones, true", float((free < KNOWN).mean())


def run(m: Material, given: argparse.Namespace) -> Iterator[dict[str, Any]]:
    """One dictionary for each number."""
    whole = near_space(m, np.arange(0, len(m.truth), 5)) if given.space == "all" else None
    for draw in range(given.draws):
        for kind in given.worlds.split(","):
            space = None
            for labels in LABELS:
                seed = (given.seed, draw)
                world = deal(m.viewed, kind, KNOWN, KNOWN, labels, given.rows, seed)
                if space is None:
                    space = _space(m, world, whole)
                for name, value in measure(m, space, world, given.full, draw):
                    yield {"score": name, "world": kind, "labels": labels, "draw": draw,
                           "value": round(value, 5)}  # fmt: skip


def _space(m: Material, world: World, whole: Space | None) -> Space:
    if whole is None:
        return near_space(m, world.rows)
    return whole.of(m.features[world.rows, : m.last])


def main() -> None:
    """Print the table and write every number."""
    parse = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parse.add_argument("data", help="as for `lll train`")
    parse.add_argument("--encoder", default="efficientnet_lite2")
    parse.add_argument("--draws", type=int, default=5)
    parse.add_argument("--seed", type=int, default=0, help="of the draws")
    parse.add_argument("--rows", type=int, default=1500, help="of the largest class in the pool")
    parse.add_argument("--worlds", default=",".join(WORLDS), help="of the pool")
    parse.add_argument("--space", choices=("pool", "all"), default="pool")
    parse.add_argument("--full", action="store_true", help="scores that look at the pool, too")
    parse.add_argument("--test", action="store_true", help="score the test images")
    given = parse.parse_args()
    torch.set_grad_enabled(False)
    m, found = material(given.data, given.encoder, given.test), []
    name = f"unknown-{m.prepared.facts.name}-{given.space}-{'test' if given.test else 'validation'}"
    for each in run(m, given):
        found.append(each)
        if each["score"] == "saved":
            sys.stderr.write(f"{each}\n")
            save(name, vars(given), found)
    save(name, vars(given), found)
    kinds = given.worlds.split(",")
    columns = [(kind, labels) for kind in kinds for labels in LABELS]
    rows = []
    for name in dict.fromkeys(each["score"] for each in found):
        mine = [each for each in found if each["score"] == name]
        at = {c: [e["value"] for e in mine if (e["world"], e["labels"]) == c] for c in columns}
        rows.append([name, *(cell(at[c]) for c in columns)])
    sys.stdout.write(table(["in %", *(f"{kind} {labels}" for kind, labels in columns)], rows))


if __name__ == "__main__":
    main()
