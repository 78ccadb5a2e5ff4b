"""Accuracy by number of labels for each query strategy, mean ± sd over draws.

    python -m benchmarks.accuracy.queries photos/ --draws 5

A simulated person labels what a strategy asks about, ten images at a time, and the model of the
labelling page is fitted anew. Scored on the data's test images by class means and by that model:
the mean over the classes of their accuracies. ``--tail 50`` makes the largest of the classes
50 times the smallest, in a new order in each draw.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from lll.data import load_data
from lll.label.model import fit
from lll.labels.select import STRATEGIES, Candidates
from lll.learn.features import features_of_data
from lll.methods.features.space import Space, fit_space
from lll.nets.frozen import frozen_encoder

SHOWN = (10, 40, 100)
BATCH = 10
POOL = 15_000  # images that a draw is about

Arrays = tuple[NDArray[np.float16], NDArray[np.int64]]


def read(source: str, cache: Path | None) -> tuple[Arrays, Arrays, int]:
    """Features and labels of the training images and of the test images, and the classes."""
    encoder = frozen_encoder("efficientnet_lite2")
    data = load_data(source, cache=cache, image_size=encoder.size)
    found = features_of_data(data, encoder, views=0, cache=cache)
    train, test = found["train"], found["test"]
    return (train.base, data.train.labels), (test.base, data.test.labels), len(data.class_names)


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


def of_both(space: Space, features: torch.Tensor) -> Space:
    """The ``space`` with the points of more ``features`` after its own."""
    return replace(space, points=torch.cat([space.points, space.transform(features)]))


def draw(
    name: str, train: Arrays, test: Arrays, classes: int, ratio: float, seed: int
) -> list[tuple[float, float]]:
    """Accuracies by class means and by the page's model at each of `SHOWN`."""
    rng = np.random.default_rng([11, seed])
    rows = pool(train[1], ratio, rng)
    truth = train[1][rows]
    features = torch.from_numpy(train[0][rows])
    of_pool = fit_space(features, features[None])
    both = of_both(of_pool, torch.from_numpy(test[0]))
    points, asked = of_pool.points.numpy(), both.points[len(rows) :].numpy()
    targets, probabilities = np.full(len(both.points), -1), None
    out = []
    for labels in range(BATCH, SHOWN[-1] + 1, BATCH):
        candidates = Candidates(points, targets[: len(rows)], probabilities)
        picked = STRATEGIES[name](candidates, BATCH, rng)
        targets[picked] = truth[picked]
        known = np.flatnonzero(targets >= 0)
        if len(np.unique(targets[known])) < 2:
            told = np.tile(np.eye(classes)[targets[known][0]], (len(targets), 1))
        else:
            told = fit(both, targets, classes, seed).probabilities
            probabilities = told[: len(rows)]
        if labels in SHOWN:
            means = by_means(points[known], targets[known], asked)
            answers = (means, told[len(rows) :].argmax(axis=1))
            out.append(tuple(mean_accuracy(answer, test[1]) for answer in answers))
    return out


def main(arguments: Sequence[str]) -> None:
    """Print a line for each strategy as it is measured."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("source", help="data with labels, as of `lll train`")
    parser.add_argument("--draws", type=int, default=5)
    parser.add_argument("--tail", type=float, default=1, help="largest class to smallest")
    parser.add_argument("--strategies", default=",".join(STRATEGIES))
    parser.add_argument("--cache", type=Path, default=None)
    args = parser.parse_args(arguments)
    train, test, classes = read(args.source, args.cache)
    heads = "  ".join(f"{f'{n} labels':>26}" for n in SHOWN)
    sys.stdout.write(f"{'class means / model, %':24}{heads}\n")
    for name in args.strategies.split(","):
        scores = 100 * np.array(
            [draw(name, train, test, classes, args.tail, seed) for seed in range(args.draws)]
        )
        spread = scores.std(axis=0, ddof=1) if args.draws > 1 else np.zeros_like(scores[0])
        cells = [
            " / ".join(f"{m:5.1f} ± {s:4.1f}" for m, s in zip(mean, sd, strict=True))
            for mean, sd in zip(scores.mean(axis=0), spread, strict=True)
        ]
        sys.stdout.write(f"{name:24}{'  '.join(f'{c:>26}' for c in cells)}\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main(sys.argv[1:])
