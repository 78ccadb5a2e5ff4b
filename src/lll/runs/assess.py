"""From a finished run to every figure of merit: of its test images, latent space and course."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import nn

from lll.data.imageset import DataSet
from lll.errors import UserError
from lll.learn.feeding import Split
from lll.learn.learner import Learner
from lll.learn.prepare import Prepared
from lll.methods.novel.scorer import unknown_of
from lll.metrics.accuracy import accuracy, confusion
from lll.metrics.clusters import SILHOUETTE_MOST
from lll.metrics.points import check_finite
from lll.runs.again import prepare_again
from lll.runs.audit import audited_in
from lll.runs.checkpoint import Position, load_checkpoint
from lll.runs.figures import FIGURES, Classes, Figure, Judged
from lll.runs.files import write_whole
from lll.runs.predict import Encoded, encode, load_learner, unknown_from, unknown_scores
from lll.runs.record import Run, load_run
from lll.runs.train import data_of
from lll.seeding import numpy_generator

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
    ours, theirs = (one.encodings for one in encoded)
    unknown = unknown_scores(learner, encoded[1])
    part, limit = unknown_of(learner.parts), unknown_from(learner)
    judged = Judged(
        run,
        prepared,
        ours,
        train.truth,
        theirs,
        test.truth,
        unknown,
        called_unknown=unknown >= (np.inf if limit is None else limit),
        unknown_is_probability=part is not None and part.PROBABILITY,
    )
    return {
        "run": str(run.path),
        "method": run.config.title,
        "data": prepared.facts.name,
        "checkpoint": str(position),
        "class_names": list(prepared.facts.class_names),
        "images": {"train": len(train.truth), "test": len(test.truth)},
        "accuracy": _accuracy_figures(run, prepared, position, encoded[1], test.truth),
        **_figures(judged),
        "audit": _audit_figures(run),
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


def _figures(judged: Judged) -> dict[str, Any]:
    """Every figure of `FIGURES` in its place, and why any is ``missing``."""
    missing: dict[str, str] = {}
    tested = len(judged.test_classes)
    if not tested:
        missing["test accuracy"] = "needs test images with a label (found 0)"
    figures: dict[str, Any] = {
        "latent": {
            "kmeans": {"clusters": len(judged.run.data.class_names)},
            "silhouette": {"images": min(tested, SILHOUETTE_MOST)},
        },
        "course": _course(judged),
        "missing": missing,
    }
    for path, figure in FIGURES.items():
        _put(figures, path, _had(figure, judged, missing))
    return figures


def _had(figure: Figure, judged: Judged, missing: dict[str, str]) -> float | None:
    """The value of ``figure``; None, with the reason in ``missing``, if it cannot be had."""
    try:
        return figure.of(judged)
    except UserError as error:
        missing[figure.title] = str(error)
        return None


def _put(figures: dict[str, Any], path: str, value: float | None) -> None:
    *above, last = path.split(".")
    for key in above:
        figures = figures.setdefault(key, {})
    figures[last] = value


def _course(judged: Judged) -> dict[str, Any]:
    """What the record says of each epoch, and of each class over the epochs."""
    metrics, names = judged.run.metrics, judged.prepared.facts.class_names
    return {
        "forgetting_per_class": dict(zip(names, judged.forgetting, strict=True)),
        "classes": [m["classes"] for m in metrics],
        "labels_known": [m["labels_known"] for m in metrics],
        "test_accuracy": [m["test_accuracy"] for m in metrics],
    }
