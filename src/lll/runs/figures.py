"""The figures of merit of a finished run: functions of `lll.metrics`, and how they are shown.

To add one: a pure function there, and a line in `FIGURES`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property, partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lll.errors import UserError
from lll.learn.prepare import Prepared
from lll.metrics.clusters import Agreement, agreement, k_means, silhouette
from lll.metrics.linear_probe import linear_probe_accuracy
from lll.metrics.neighbours import neighbour_accuracy
from lll.metrics.points import check_classes
from lll.metrics.progress import area_under_labels, forgetting_per_class, mean_forgetting
from lll.metrics.unknown import auroc, calibration_error
from lll.runs.record import Run
from lll.seeding import derive
from lll.words import decimal, percent, points

Points = NDArray[np.float32]
Classes = NDArray[np.int64]

KS = (5, 20)


@dataclass(frozen=True)
class Judged:
    """A finished run as figures see it.

    ``train`` [n, d] and ``test`` [m, d] are the encodings of labelled training and test images,
    ``train_classes`` [n] and ``test_classes`` [m] their classes; ``unknown`` [m] says how little
    each test image looks like a known class, in [0, 1], and ``called_unknown`` [m] whether it is
    called so; ``unknown_is_probability`` where that is what it is. Properties raise UserError
    where they cannot be had.
    """

    run: Run
    prepared: Prepared
    train: Points
    train_classes: Classes
    test: Points
    test_classes: Classes
    unknown: Points
    called_unknown: NDArray[np.bool_]
    unknown_is_probability: bool

    @property
    def outside(self) -> NDArray[np.bool_]:
        """Which test images [m] are of classes of which the run knows no label."""
        known = self.prepared.labels.at(self.prepared.config.epochs - 1).classes
        outside = ~np.isin(self.test_classes, known)
        if not outside.any() or outside.all():
            raise UserError("needs test images of classes that the run knows, and of others")
        return outside

    @property
    def sides(self) -> tuple[Points, Classes, Points, Classes]:
        """Encodings and classes of training images, then of test images."""
        return self.train, self.train_classes, self.test, self.test_classes

    def seed(self, name: str) -> int:
        """The seed for the random part of the figure called ``name``."""
        return derive(self.prepared.config.seed, "evaluate", name)

    def neighbours(self, k: int) -> float:
        """Accuracy of the ``k`` nearest neighbours, found once for all `KS` where possible."""
        enough = len(self.train) >= max(KS)
        return self._neighbours[k] if enough else neighbour_accuracy(*self.sides, (k,))[k]

    @cached_property
    def _neighbours(self) -> dict[int, float]:
        return neighbour_accuracy(*self.sides, KS)

    @cached_property
    def clusters(self) -> Classes:
        """The k-means cluster of each test image [m], as many as the data has classes."""
        check_classes(self.test_classes, "test images with a label", 2)
        return k_means(self.test, len(self.prepared.facts.class_names), self.seed("kmeans"))

    @cached_property
    def agreement(self) -> Agreement:
        """How the clusters agree with the classes."""
        return agreement(self.clusters, self.test_classes)

    def silhouette(self, groups: Classes) -> float:
        """The silhouette of ``groups`` [m] of the test images."""
        value = silhouette(self.test, groups, self.seed("silhouette"))
        if value is None:
            raise UserError(
                "needs test images in 2 groups or more, some group with 2 images or more"
            )
        return value

    @cached_property
    def forgetting(self) -> tuple[float | None, ...]:
        """How much of the accuracy on each class was lost again."""
        return forgetting_per_class(
            [m["test_accuracy_per_class"] for m in self.run.metrics],
            _represented_since(self.prepared),
        )


def _represented_since(prepared: Prepared) -> list[int | None]:
    """The epoch at which each class was first represented, None for never."""
    since: list[int | None] = [None] * len(prepared.facts.class_names)
    for epoch in reversed(range(prepared.config.epochs)):
        for c in prepared.labels.at(epoch).classes:
            since[c] = epoch
    return since


def _forgetting(judged: Judged) -> float:
    value = mean_forgetting(judged.forgetting)
    if value is None:
        raise UserError("needs a class with test images before the last epoch")
    return value


def _calibration(judged: Judged) -> float:
    if not judged.unknown_is_probability:
        raise UserError("the score is a rank, not a probability")
    return calibration_error(judged.outside, judged.unknown)


def _area(judged: Judged) -> float:
    metrics = judged.run.metrics
    value = area_under_labels(
        [m["labels_known"] for m in metrics], [m["test_accuracy"] for m in metrics]
    )
    if value is None:
        raise UserError("needs a test accuracy, and labels that come after the first epoch")
    return value


@dataclass(frozen=True)
class Figure:
    """A figure of merit: its ``title``, its value, how that is ``written``, ``how`` it is made.

    ``of`` raises UserError with the reason where it cannot be had.
    """

    title: str
    of: Callable[[Judged], float]
    written: Callable[[float | None], str] = percent
    how: str = ""


_FITTED = "fitted to the training images"
_RANGE = "of the test images, -1 to 1"

FIGURES: dict[str, Figure] = {
    "unknown.auroc": Figure(
        "known against unknown, AUROC",
        lambda j: auroc(j.outside, j.unknown),
        how="of test images; chance is 50%",
    ),
    "unknown.found": Figure(
        "unknown images called so",
        lambda j: float(j.called_unknown[j.outside].mean()),
        how="of test images of unknown classes",
    ),
    "unknown.false_alarms": Figure(
        "known images called unknown",
        lambda j: float(j.called_unknown[~j.outside].mean()),
        how="of test images of known classes",
    ),
    "unknown.calibration_error": Figure(
        "calibration of unknown", _calibration, how="expected error of the probability, 0 is best"
    ),
    "latent.linear_probe": Figure(
        "linear probe", lambda j: linear_probe_accuracy(*j.sides), how=f"logistic, {_FITTED}"
    ),
    "latent.knn.5": Figure("5 nearest neighbours", lambda j: j.neighbours(5), how=_FITTED),
    "latent.knn.20": Figure("20 nearest neighbours", lambda j: j.neighbours(20), how=_FITTED),
    "latent.kmeans.nmi": Figure(
        "k-means NMI", lambda j: j.agreement.nmi, decimal, "as many clusters as classes"
    ),
    "latent.kmeans.ari": Figure("k-means ARI", lambda j: j.agreement.ari, decimal, "chance is 0"),
    "latent.kmeans.matched_accuracy": Figure(
        "k-means matched", lambda j: j.agreement.matched_accuracy, how="best one-to-one naming"
    ),
    "latent.silhouette.true": Figure(
        "silhouette, classes", lambda j: j.silhouette(j.test_classes), decimal, _RANGE
    ),
    "latent.silhouette.kmeans": Figure(
        "silhouette, clusters", lambda j: j.silhouette(j.clusters), decimal, _RANGE
    ),
    "course.area_under_labels": Figure(
        "area under accuracy against labels", _area, decimal, "0 to 1"
    ),
    "course.forgetting": Figure("forgetting", _forgetting, points, "percentage points"),
    "course.seconds_per_epoch": Figure(
        "seconds per epoch", lambda j: j.run.result["seconds_per_epoch"], partial(decimal, digits=1)
    ),
}
"""Every figure by its place in evaluation.json, in the order in which it is shown."""


def figure_at(figures: Any, path: str) -> Any:
    """The figure at ``path``, as in ``latent.knn.5``; KeyError if ``figures`` lack it."""
    for key in path.split("."):
        if not isinstance(figures, Mapping):
            raise KeyError(path)
        figures = figures[key]
    return figures
