"""Accuracy by number of labels for each query strategy, mean ± sd over draws.

    python -m benchmarks.accuracy.queries DATA --strategies random,medoids,auto

A simulated person labels what a strategy asks about, ten images at a time, and the model of the
labelling page is fitted anew, in the space of `lll train`. Scored by class means and by that model:
the mean over the classes of their accuracies. ``--tail 50`` makes the largest of the classes 50
times the smallest, in a new order in each draw. Validation rows, in no pool, are scored, by which
strategies are chosen; ``--test`` scores the test images, once all is fixed. The gain over the first
strategy is paired by draw.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from benchmarks.accuracy.features import Material, material
from benchmarks.accuracy.worlds import cell, save, table
from numpy.typing import NDArray

from lll.bench.compare import paired_difference
from lll.label.model import Choice, pose, teach
from lll.labels.select import STRATEGIES, Candidates
from lll.methods.features.softmax import with_ones
from lll.methods.features.space import Space, fit_space
from lll.words import points

SHOWN = (10, 40, 100)
BATCH = 10
POOL = 8_000  # images that a draw is about
CHOICE = Choice("propagate")  # which the page's model is with few labels
JUDGES = ("class means", "model")
Scores = tuple[float, float]


def pool(labels: NDArray[np.int64], ratio: float, rng: np.random.Generator) -> NDArray[np.intp]:
    """Rows of one draw: `POOL` at random, or with a long tail."""
    if ratio == 1:
        return rng.choice(len(labels), min(POOL, len(labels)), replace=False)
    classes = np.unique(labels)
    most = np.bincount(labels[labels >= 0]).max()
    sizes = most * ratio ** (-np.arange(len(classes)) / (len(classes) - 1))
    return np.concatenate(
        [
            rng.permutation(np.flatnonzero(labels == label))[: max(1, int(size))]
            for label, size in zip(rng.permutation(classes), sizes, strict=True)
        ]
    )


def mean_accuracy(answer: NDArray[np.intp], truth: NDArray[np.int64]) -> float:
    """Mean over the classes of the share that is right."""
    return float(np.mean([(answer[truth == c] == c).mean() for c in np.unique(truth)]))


def by_means(
    features: NDArray[np.float32], targets: NDArray[np.int64], asked: NDArray[np.float32]
) -> NDArray[np.intp]:
    """The class whose mean is nearest."""
    known = np.unique(targets)
    means = np.stack([features[targets == c].mean(axis=0) for c in known])
    means /= np.linalg.norm(means, axis=1, keepdims=True)
    return known[(asked @ means.T).argmax(axis=1)]


def draw(names: Sequence[str], m: Material, ratio: float, seed: int) -> Iterator[dict[str, Any]]:
    """For each strategy and number of labels `SHOWN` what was reached, see `scores`."""
    rng = np.random.default_rng([11, seed])
    rows = np.sort(pool(m.truth, ratio, rng))
    space = fit_space(m.features[rows], m.prepared.seen(rows), m.last)
    asked = space.of(m.scored)
    for name in names:
        for labels, (means, model) in scores(name, space, m.truth[rows], asked, m.answers, seed):
            where = {"strategy": name, "draw": seed, "labels": labels}
            yield where | {"class means": means, "model": model}


def scores(
    name: str,
    space: Space,
    truth: NDArray[np.int64],
    asked: Space,
    answers: NDArray[np.int64],
    seed: int,
) -> Iterator[tuple[int, Scores]]:
    """One strategy on one pool, scored on ``asked`` images [m] whose classes are ``answers``.

    For each number of labels `SHOWN` the accuracies by class means and by the page's model.
    """
    rng, points, classes = np.random.default_rng([12, seed]), space.near.numpy(), truth.max() + 1
    targets, probabilities = np.full(len(truth), -1), None
    for labels in range(BATCH, SHOWN[-1] + 1, BATCH):
        picked = STRATEGIES[name](Candidates(points, targets, probabilities), BATCH, rng)
        targets[picked] = truth[picked]
        known = np.flatnonzero(targets >= 0)
        if len(np.unique(targets[known])) < 2:
            told = np.full(len(answers), targets[known][0])
        else:
            taught = teach(pose(space, targets, seed), CHOICE)
            probabilities = taught.says(space, classes)
            told = taught.present[(with_ones(asked.points) @ taught.weights).argmax(dim=1)].numpy()
        if labels in SHOWN:
            means = by_means(points[known], targets[known], asked.near.numpy())
            yield labels, (mean_accuracy(means, answers), mean_accuracy(told, answers))


def lines(names: Sequence[str], found: Sequence[Mapping[str, Any]], by: str) -> Iterator[list[str]]:
    """Rows of the table of scores ``by`` one of `JUDGES`: each strategy, and what it gains.

    The gain is that over the first strategy on the same draws, with its 95% interval.
    """
    scores: dict[tuple[str, int], list[float]] = {}
    for each in found:
        scores.setdefault((each["strategy"], each["labels"]), []).append(each[by])
    for name in names:
        yield [f"{name}, {by}", *(cell(scores[name, labels]) for labels in SHOWN)]
    for name in names[1:]:
        yield [f"{name} - {names[0]}", *(_gain(scores, name, names[0], n) for n in SHOWN)]


def _gain(scores: Mapping[tuple[str, int], list[float]], name: str, than: str, labels: int) -> str:
    pairs = zip(scores[name, labels], scores[than, labels], strict=True)
    found = paired_difference([one - other for one, other in pairs]) or {}
    low, high = found["interval"] or (None, None)
    return f"{points(found['mean'])} [{points(low)}, {points(high)}]"


def main(arguments: Sequence[str]) -> None:
    """Print the tables and write every number."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data", help="data with labels, as of `lll train`")
    parser.add_argument("--draws", type=int, default=5)
    parser.add_argument("--first", type=int, default=0, help="number of the first draw")
    parser.add_argument("--tail", type=float, default=1, help="largest class to smallest")
    parser.add_argument("--strategies", default=",".join(STRATEGIES))
    parser.add_argument("--test", action="store_true", help="score the test images")
    args = parser.parse_args(arguments)
    m = material(args.data, "efficientnet_lite2", args.test)
    names, found = args.strategies.split(","), []
    for seed in range(args.first, args.first + args.draws):
        with torch.no_grad():
            found += draw(names, m, args.tail, seed)
        sys.stderr.write(f"draw {seed} is done\n")
    kind = "queries" if args.tail == 1 else f"queries-tail-{args.tail:g}"
    scored = "test" if args.test else "validation"
    save(f"{kind}-{m.prepared.facts.name}-{scored}", vars(args), found)
    for by in JUDGES:
        head = ["in %", *(f"{labels} labels" for labels in SHOWN)]
        sys.stdout.write(table(head, lines(names, found, by)) + "\n")


if __name__ == "__main__":
    main(sys.argv[1:])
