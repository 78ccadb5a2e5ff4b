"""From a finished run to every figure of merit: of its test images, latent space and course."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import asdict, fields, replace
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray
from torch import nn

from lll.data.imageset import DataSet
from lll.errors import UserError
from lll.learn.feeding import Split
from lll.learn.learner import Learner
from lll.learn.prepare import Prepared
from lll.metrics.accuracy import accuracy, confusion
from lll.metrics.clusters import SILHOUETTE_MOST, Agreement, agreement, k_means, silhouette
from lll.metrics.linear_probe import linear_probe_accuracy
from lll.metrics.neighbours import neighbour_accuracy
from lll.metrics.points import check_classes, check_finite
from lll.metrics.progress import area_under_labels, forgetting_per_class, mean_forgetting
from lll.runs.again import prepare_again
from lll.runs.audit import audited_in
from lll.runs.checkpoint import Position, load_checkpoint
from lll.runs.files import write_whole
from lll.runs.predict import Encoded, encode, load_learner
from lll.runs.record import Run, load_run
from lll.runs.train import data_of
from lll.seeding import derive, numpy_generator
from lll.words import listed

T = TypeVar("T")
Points = NDArray[np.float32]
Classes = NDArray[np.int64]
Sides = tuple[Points, Classes, Points, Classes]
"""Encodings [n, d] and classes [n] of training images, then of test images."""

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
    nothing to measure; ``missing`` says why for each figure that cannot be had. Linear probe
    and neighbours are fitted to the labelled training images, validation left out
    (``TRAIN_MOST`` at most, drawn by the run's seed), and scored on the test images, on which
    k-means and silhouettes are computed too. ``data`` and ``encoder`` as in `lll.train`, needed if
    they were given there. Nothing is written.

    Raises UserError for a run that is not finished, without a checkpoint or on other data, and
    for encodings that are NaN.

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
    prepared, _ = prepare_again(run, data or data_of(run.config))
    test = _take(prepared.test, np.flatnonzero(prepared.test.truth >= 0))
    learner = load_learner(run, encoder=encoder, checkpoint=str(position), device=prepared.device)
    train = _train_sample(prepared)
    encoded = _encode(run, learner, train, "training"), _encode(run, learner, test, "test")
    missing: dict[str, str] = {}
    if not len(test.truth):
        missing["test accuracy"] = "needs test images with a label (found 0)"
    return {
        "run": str(run.path),
        "method": run.config.title,
        "data": prepared.facts.name,
        "checkpoint": str(position),
        "class_names": list(prepared.facts.class_names),
        "images": {"train": len(train.truth), "test": len(test.truth)},
        "accuracy": _accuracy_figures(run, prepared, position, encoded[1], test.truth),
        "latent": _latent_figures(prepared, encoded, (train.truth, test.truth), missing),
        "course": _course_figures(run, prepared, missing),
        "audit": _audit_figures(run),
        "missing": missing,
    }


def _audit_figures(run: Run) -> dict[str, Any] | None:
    """The audited labels of the run's folder; None where there are none."""
    found = audited_in(run.config.data)
    if found is None:
        return None
    low, high = found.interval
    return {"n": found.n, "right": found.right, "low": low, "high": high, "words": str(found)}


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
    """The position of the checkpoint called ``checkpoint``; `chosen` is the latest without one."""
    saved = load_checkpoint(run.path, checkpoint)
    if saved is None and checkpoint == "chosen":
        saved = load_checkpoint(run.path)
    if saved is None:
        raise UserError(f"{run.path}: has no checkpoint yet: train it first")
    return saved.position


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
    if not len(split.truth):
        nothing = np.empty((0, len(run.data.class_names)), dtype=np.float32)
        return Encoded(nothing, nothing)
    encoded = encode(learner, split.inputs)
    check_finite(encoded.encodings, f"{run.path}: encodings of {what} images")
    check_finite(encoded.probabilities, f"{run.path}: probabilities of {what} images")
    return encoded


def _accuracy_figures(
    run: Run, prepared: Prepared, position: Position, test: Encoded, labels: Classes
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


def _had(missing: dict[str, str], name: str, figure: Callable[[], T]) -> T | None:
    """``figure()``; None, with the reason in ``missing``, if it cannot be had."""
    try:
        return figure()
    except UserError as error:
        missing[name] = str(error)
        return None


def _latent_figures(
    prepared: Prepared,
    encoded: tuple[Encoded, Encoded],
    labels: tuple[Classes, Classes],
    missing: dict[str, str],
) -> dict[str, Any]:
    """Figures of the encodings of training and test images."""
    (train, test), (train_labels, test_labels) = (e.encodings for e in encoded), labels
    sides = train, train_labels, test, test_labels
    return {
        "linear_probe": _had(missing, "linear probe", lambda: linear_probe_accuracy(*sides)),
        "knn": {
            str(k): share
            for ks in ([KS] if len(train) >= max(KS) else [(k,) for k in KS])
            for k, share in _neighbour_figures(sides, ks, missing).items()
        },
        **_cluster_figures(prepared, test, test_labels, missing),
    }


def _neighbour_figures(
    sides: Sides, ks: tuple[int, ...], missing: dict[str, str]
) -> dict[int, float] | dict[int, None]:
    name = listed(f"{k} nearest neighbours" for k in ks)
    return _had(missing, name, lambda: neighbour_accuracy(*sides, ks)) or dict.fromkeys(ks)


def _cluster_figures(
    prepared: Prepared,
    test: Points,
    labels: Classes,
    missing: dict[str, str],
) -> dict[str, Any]:
    """How the encodings ``test`` [n, d] group, by k-means and by their ``labels`` [n]."""
    seed, clusters = prepared.config.seed, len(prepared.facts.class_names)

    found = _had(missing, "k-means", lambda: _clusters(test, labels, clusters, seed))

    def silhouette_of(name: str, groups: Classes | None) -> float | None:
        if groups is None:
            return None
        return _had(missing, f"silhouette of {name}", lambda: _silhouette(test, groups, seed))

    return {
        "kmeans": {"clusters": clusters, **_agreement(found, labels)},
        "silhouette": {
            "images": min(len(test), SILHOUETTE_MOST),
            "true": silhouette_of("classes", labels),
            "kmeans": silhouette_of("clusters", found),
        },
    }


def _clusters(test: Points, labels: Classes, clusters: int, seed: int) -> Classes:
    check_classes(labels, "test images with a label", 2)
    return k_means(test, clusters, derive(seed, "evaluate", "kmeans"))


def _agreement(found: Classes | None, labels: Classes) -> dict[str, float] | dict[str, None]:
    if found is None:
        return dict.fromkeys(field.name for field in fields(Agreement))
    return asdict(agreement(found, labels))


def _silhouette(test: Points, groups: Classes, seed: int) -> float:
    value = silhouette(test, groups, derive(seed, "evaluate", "silhouette"))
    if value is None:
        raise UserError("needs test images in 2 groups or more, some group with 2 images or more")
    return value


def _course_figures(run: Run, prepared: Prepared, missing: dict[str, str]) -> dict[str, Any]:
    """Figures over the epochs, from the run's record."""
    names = prepared.facts.class_names
    per_class = forgetting_per_class(
        [m["test_accuracy_per_class"] for m in run.metrics], _represented_since(prepared)
    )
    labels_known = [m["labels_known"] for m in run.metrics]
    shares = [m["test_accuracy"] for m in run.metrics]
    forgetting, area = mean_forgetting(per_class), area_under_labels(labels_known, shares)
    if forgetting is None:
        missing["forgetting"] = "needs a class with test images before the last epoch"
    if area is None:
        missing["area under accuracy against labels"] = (
            "needs a test accuracy, and labels that come after the first epoch"
        )
    return {
        "forgetting": forgetting,
        "forgetting_per_class": dict(zip(names, per_class, strict=True)),
        "area_under_labels": area,
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
