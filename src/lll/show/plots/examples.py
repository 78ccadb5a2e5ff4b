"""Which images to show as examples: the surest, right and wrong, and each class's mistakes."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class Mistake:
    """A class is taken for ``other`` in ``count`` images; ``surest`` is one, by position."""

    other: int
    count: int
    surest: int


def most_confident(
    probabilities: NDArray[np.float32], labels: NDArray[np.int64], *, right: bool, count: int
) -> NDArray[np.intp]:
    """Positions of the ``count`` most confident predictions that are right, or that are wrong.

    ``probabilities`` [n, classes], ``labels`` [n]; labels of -1 do not count. The surest
    comes first.
    """
    hits = probabilities.argmax(axis=1) == labels
    at = np.flatnonzero((hits == right) & (labels >= 0))
    confidence = probabilities[at].max(axis=1)
    return at[np.argsort(-confidence, kind="stable")[:count]]


def mistakes_of(
    label: int, probabilities: NDArray[np.float32], labels: NDArray[np.int64], count: int
) -> list[Mistake]:
    """The ``count`` other classes that images of class ``label`` are taken for most often."""
    at = np.flatnonzero(labels == label)
    predicted = probabilities[at].argmax(axis=1)
    times = np.bincount(predicted, minlength=probabilities.shape[1])
    times[label] = 0
    mistakes = []
    for other in np.argsort(-times, kind="stable")[:count]:
        if times[other]:
            taken = at[predicted == other]
            surest = taken[probabilities[taken, other].argmax()]
            mistakes.append(Mistake(int(other), int(times[other]), int(surest)))
    return mistakes
