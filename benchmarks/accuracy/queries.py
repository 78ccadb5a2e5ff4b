"""Accuracy by number of labels for each query strategy, mean ± sd over draws.

    python -m benchmarks.accuracy.queries photos/ --draws 5

A simulated person labels what a strategy asks about, ten images at a time, and the model of the
labelling page is fitted anew, in the space of `lll train`. Scored by class means and by that model:
the mean over the classes of their accuracies. ``--tail 50`` makes the largest of the classes 50
times the smallest, in a new order in each draw. Validation rows, in no pool, are scored, by which
strategies are chosen; ``--test`` scores the test images, once all is fixed.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence

import numpy as np
import torch
from benchmarks.accuracy.features import Material, material
from numpy.typing import NDArray
from torch import Tensor

from lll.label.model import pose, teach
from lll.labels.select import STRATEGIES, Candidates
from lll.methods.features.softmax import with_ones
from lll.methods.features.space import Space, fit_space

SHOWN = (10, 40, 100)
BATCH = 10
POOL = 8_000  # images that a draw is about
LEARNER = "propagate"  # which the page's model is with few labels
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


def draw(names: Sequence[str], m: Material, ratio: float, seed: int) -> dict[str, list[Scores]]:
    """For each strategy the accuracies by class means and by the page's model at `SHOWN`."""
    rng = np.random.default_rng([11, seed])
    rows = np.sort(pool(m.truth, ratio, rng))
    space = fit_space(m.features[rows], m.prepared.seen(rows))
    asked = space.transform(m.scored)
    return {name: scores(name, space, m.truth[rows], asked, m.answers, seed) for name in names}


def scores(
    name: str,
    space: Space,
    truth: NDArray[np.int64],
    asked: Tensor,
    answers: NDArray[np.int64],
    seed: int,
) -> list[Scores]:
    """One strategy on one pool, scored on ``asked`` points [m, k] whose classes are ``answers``."""
    rng, points, classes = np.random.default_rng([12, seed]), space.points.numpy(), truth.max() + 1
    targets, probabilities, out = np.full(len(truth), -1), None, []
    for labels in range(BATCH, SHOWN[-1] + 1, BATCH):
        picked = STRATEGIES[name](Candidates(points, targets, probabilities), BATCH, rng)
        targets[picked] = truth[picked]
        known = np.flatnonzero(targets >= 0)
        if len(np.unique(targets[known])) < 2:
            told = np.full(len(answers), targets[known][0])
        else:
            taught = teach(pose(space, targets, seed), LEARNER, 1.0)
            probabilities = taught.says(space, classes)
            told = taught.present[(with_ones(asked) @ taught.weights).argmax(dim=1)].numpy()
        if labels in SHOWN:
            means = by_means(points[known], targets[known], asked.numpy())
            out.append((mean_accuracy(means, answers), mean_accuracy(told, answers)))
    return out


def main(arguments: Sequence[str]) -> None:
    """Print a line for each strategy."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("source", help="data with labels, as of `lll train`")
    parser.add_argument("--draws", type=int, default=5)
    parser.add_argument("--tail", type=float, default=1, help="largest class to smallest")
    parser.add_argument("--strategies", default=",".join(STRATEGIES))
    parser.add_argument("--test", action="store_true", help="score the test images")
    args = parser.parse_args(arguments)
    m = material(args.source, "efficientnet_lite2", args.test)
    names = args.strategies.split(",")
    draws = []
    for seed in range(args.draws):
        with torch.no_grad():
            draws.append(draw(names, m, args.tail, seed))
        sys.stderr.write(f"draw {seed}: {draws[-1]}\n")
    heads = "  ".join(f"{f'{n} labels':>26}" for n in SHOWN)
    sys.stdout.write(f"{'class means / model, %':24}{heads}\n")
    for name in names:
        found = 100 * np.array([each[name] for each in draws])
        spread = found.std(axis=0, ddof=1) if args.draws > 1 else np.zeros_like(found[0])
        cells = [
            " / ".join(f"{m:5.1f} ± {s:4.1f}" for m, s in zip(mean, sd, strict=True))
            for mean, sd in zip(found.mean(axis=0), spread, strict=True)
        ]
        sys.stdout.write(f"{name:24}{'  '.join(f'{c:>26}' for c in cells)}\n")


if __name__ == "__main__":
    main(sys.argv[1:])
