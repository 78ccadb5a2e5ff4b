"""From a finished run to every figure of merit: of its test images, latent space and course."""

from __future__ import annotations

import json
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import nn

from lll.data.imageset import DataSet
from lll.errors import UserError
from lll.learn.feeding import Split
from lll.learn.learner import Learner
from lll.learn.prepare import Prepared, prepare
from lll.metrics.accuracy import accuracy, confusion
from lll.metrics.clusters import SILHOUETTE_MOST, agreement, k_means, silhouette
from lll.metrics.linear_probe import linear_probe_accuracy
from lll.metrics.neighbours import neighbour_accuracy
from lll.metrics.points import check_finite
from lll.metrics.progress import area_under_labels, forgetting_per_class, mean_forgetting
from lll.runs.checkpoint import Position, load_checkpoint
from lll.runs.files import write_whole
from lll.runs.predict import Encoded, encode, load_learner
from lll.runs.record import Run, load_run
from lll.runs.resume import check_same_data
from lll.runs.train import data_of
from lll.seeding import derive, numpy_generator

KS = (5, 20)
TRAIN_MOST = 50_000
"""Training images that the linear probe and the neighbours look at."""
EVALUATION = "evaluation.json"


def evaluate(
    run: str | Path | Run,
    *,
    checkpoint: str = "latest",
    data: DataSet | None = None,
    encoder: nn.Module | None = None,
) -> dict[str, Any]:
    """Every figure of a finished run, as plain values that JSON can hold.

    Figures of the network are those of ``checkpoint``: ``latest`` is the final epoch,
    ``chosen`` the one chosen on validation. Shares are in [0, 1], and None where there is
    nothing to measure. Linear probe and neighbours are fitted to the labelled training
    images, validation left out (``TRAIN_MOST`` at most, drawn by the run's seed), and scored
    on the test images, on which k-means and silhouettes also stand. ``data`` and ``encoder``
    as in `lll.train`, needed if they were given there. Nothing is written.

    Raises UserError for a run that is not finished, without a checkpoint or on other data;
    for one class, and for too few test or training images; for encodings that are NaN.

    >>> import tempfile
    >>> from lll import RunConfig, train
    >>> config = RunConfig(data="digits", method="gradual", epochs=1, width=8)
    >>> figures = evaluate(train(config, tempfile.mkdtemp()))
    >>> sorted(figures["latent"])
    ['kmeans', 'knn', 'linear_probe', 'silhouette']
    """
    run = run if isinstance(run, Run) else load_run(run)
    check_finished(run)
    position = _position(run, checkpoint)
    # The device is of no matter to the figures, and may be another than that of training.
    config = run.config.model_copy(update={"device": "auto"})
    prepared = prepare(config, data or data_of(config))
    check_same_data(run, prepared)
    test = _labelled_test(prepared)
    learner = load_learner(run, encoder=encoder, checkpoint=str(position), device=prepared.device)
    train = _train_sample(prepared)
    encoded = _encode(run, learner, train, "training"), _encode(run, learner, test, "test")
    return {
        "run": str(run.path),
        "method": config.title,
        "data": prepared.facts.name,
        "checkpoint": str(position),
        "class_names": list(prepared.facts.class_names),
        "images": {"train": len(train.truth), "test": len(test.truth)},
        "accuracy": _accuracy_figures(run, prepared, position, encoded[1], test.truth),
        "latent": _latent_figures(prepared, encoded, (train.truth, test.truth)),
        "course": _course_figures(run, prepared),
    }


def save_evaluation(run: Run, figures: dict[str, Any]) -> Path:
    """Write ``figures`` of `evaluate` into the run folder; the file's path."""
    path = run.path / EVALUATION
    write_whole(path, (json.dumps(figures, indent=1, allow_nan=False) + "\n").encode())
    return path


def check_finished(run: Run) -> None:
    """UserError that says how far ``run`` is, unless all its epochs are done."""
    if not run.finished:
        raise UserError(
            f"{run.path}: is not finished, {len(run.metrics)} of {run.config.epochs} epochs are "
            f"done: go on with `lll resume {run.path}`"
        )


def _position(run: Run, checkpoint: str) -> Position:
    """Where the checkpoint called ``checkpoint`` stands; `chosen` is the latest without one."""
    saved = load_checkpoint(run.path, checkpoint)
    if saved is None and checkpoint == "chosen":
        saved = load_checkpoint(run.path)
    if saved is None:
        raise UserError(f"{run.path}: has no checkpoint yet: train it first")
    return saved.position


def _labelled_test(prepared: Prepared) -> Split:
    """The test images that have a label; UserError if figures cannot be told from them."""
    name, names = prepared.facts.name, prepared.facts.class_names
    if len(names) < 2:
        raise UserError(
            f"data {name!r} has one class only, {names[0]!r}: there is none to tell it from"
        )
    test = _take(prepared.test, np.flatnonzero(prepared.test.truth >= 0))
    shown = np.unique(test.truth)
    if len(shown) == 0:
        raise UserError(f"data {name!r} has no test image with a label: there is nothing to score")
    if len(shown) == 1:
        raise UserError(
            f"data {name!r} has test images of one class only, {names[shown[0]]!r}: "
            "add some of the others"
        )
    return test


def _train_sample(prepared: Prepared) -> Split:
    """The labelled training images, or ``TRAIN_MOST`` of them."""
    at = np.flatnonzero(prepared.train.truth >= 0)
    if len(at) > TRAIN_MOST:
        draw = numpy_generator(prepared.config.seed, "evaluate", "train")
        at = np.sort(draw.choice(at, TRAIN_MOST, replace=False))
    return _take(prepared.train, at)


def _take(split: Split, at: NDArray[np.intp]) -> Split:
    return replace(split, inputs=split.inputs[at], truth=split.truth[at])


def _encode(run: Run, learner: Learner, split: Split, what: str) -> Encoded:
    encoded = encode(learner, split.inputs)
    check_finite(encoded.encodings, f"{run.path}: encodings of {what} images")
    check_finite(encoded.probabilities, f"{run.path}: probabilities of {what} images")
    return encoded


def _accuracy_figures(
    run: Run, prepared: Prepared, position: Position, test: Encoded, labels: NDArray[np.int64]
) -> dict[str, Any]:
    """Accuracy at ``position``, and on record at the final and the chosen epoch."""
    names = prepared.facts.class_names
    predicted = test.probabilities.argmax(axis=1)
    # A checkpoint between two epochs has begun the next one.
    epoch = position.epoch if position.step else max(position.epoch - 1, 0)
    scores = accuracy(predicted, labels, prepared.labels.at(epoch).classes, len(names))
    result = run.result
    return {
        "all": scores.all,
        "represented": scores.represented,
        "novel": scores.novel,
        "per_class": dict(zip(names, scores.per_class, strict=True)),
        "confusion": confusion(predicted, labels, len(names)).tolist(),
        "final": result["test_accuracy_final"],
        "chosen": result["test_accuracy_chosen"],
        "chosen_epoch": result["chosen_epoch"],
    }


def _latent_figures(
    prepared: Prepared,
    encoded: tuple[Encoded, Encoded],
    labels: tuple[NDArray[np.int64], NDArray[np.int64]],
) -> dict[str, Any]:
    """Figures of the encodings of training and test images."""
    seed, clusters = prepared.config.seed, len(prepared.facts.class_names)
    (train, test), (train_labels, test_labels) = (e.encodings for e in encoded), labels
    found = k_means(test, clusters, derive(seed, "evaluate", "kmeans"))
    neighbours = neighbour_accuracy(train, train_labels, test, test_labels, KS)
    drawn = derive(seed, "evaluate", "silhouette")
    return {
        "linear_probe": linear_probe_accuracy(train, train_labels, test, test_labels),
        "knn": {str(k): share for k, share in neighbours.items()},
        "kmeans": {"clusters": clusters, **asdict(agreement(found, test_labels))},
        "silhouette": {
            "images": min(len(test), SILHOUETTE_MOST),
            "true": silhouette(test, test_labels, drawn),
            "kmeans": silhouette(test, found, drawn),
        },
    }


def _course_figures(run: Run, prepared: Prepared) -> dict[str, Any]:
    """Figures over the epochs, from the run's record."""
    names = prepared.facts.class_names
    per_class = forgetting_per_class(
        [m["test_accuracy_per_class"] for m in run.metrics], _represented_since(prepared)
    )
    labels_known = [m["labels_known"] for m in run.metrics]
    shares = [m["test_accuracy"] for m in run.metrics]
    return {
        "forgetting": mean_forgetting(per_class),
        "forgetting_per_class": dict(zip(names, per_class, strict=True)),
        "area_under_labels": area_under_labels(labels_known, shares),
        "classes": [m["classes"] for m in run.metrics],
        "labels_known": labels_known,
        "test_accuracy": shares,
        "seconds_per_epoch": run.result["seconds_per_epoch"],
    }


def _represented_since(prepared: Prepared) -> list[int | None]:
    """The epoch at which each class was first represented, None for never."""
    since: list[int | None] = [None] * len(prepared.facts.class_names)
    for epoch in reversed(range(prepared.config.epochs)):
        for c in prepared.labels.at(epoch).classes:
            since[c] = epoch
    return since
