"""Accuracy: over all classes, over those represented so far, over the novel ones, per class."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class Accuracy:
    """Shares of images whose predicted class is the true one, in [0, 1]; None without images.

    ``represented`` and ``novel`` are over the images whose true class is represented so far,
    or is not; ``per_class`` has one entry per class.
    """

    all: float | None
    represented: float | None
    novel: float | None
    per_class: tuple[float | None, ...]


def accuracy(
    predicted: NDArray[np.int64],
    labels: NDArray[np.int64],
    represented: Sequence[int],
    classes: int,
) -> Accuracy:
    """Top-1 accuracy of ``predicted`` [n] against ``labels`` [n]; labels of -1 do not count."""
    right = predicted == labels
    seen = np.isin(labels, list(represented))
    return Accuracy(
        all=_share(right, labels >= 0),
        represented=_share(right, seen),
        novel=_share(right, ~seen & (labels >= 0)),
        per_class=tuple(_share(right, labels == c) for c in range(classes)),
    )


def _share(right: NDArray[np.bool_], among: NDArray[np.bool_]) -> float | None:
    count = int(among.sum())
    return int((right & among).sum()) / count if count else None


def confusion(
    predicted: NDArray[np.int64], labels: NDArray[np.int64], classes: int
) -> NDArray[np.int64]:
    """Counts [classes, classes] of images by true class (row) and predicted class (column).

    Labels of -1 do not count.
    """
    labelled = labels >= 0
    cells = labels[labelled] * classes + predicted[labelled]
    return np.bincount(cells, minlength=classes**2).reshape(classes, classes).astype(np.int64)
