"""Accuracy where some classes are known and others are found: two meanings, side by side."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import linear_sum_assignment


@dataclass(frozen=True)
class DiscoveryAccuracy:
    """Shares in [0, 1] of images in the group of their class; None where there are none.

    ``all``, ``known`` and ``new``: a known group means its class, and new groups are matched
    one-to-one to new classes so that most images agree (Hungarian method). ``all_slots``: all
    groups are matched to all classes, as in Cao et al. 2022, "Open-world semi-supervised learning"
    (ORCA), which forgives that known classes were mixed up.
    """

    all: float | None
    known: float | None
    new: float | None
    all_slots: float | None


def discovery_accuracy(
    of: NDArray[np.int64], truth: NDArray[np.int64], known: int
) -> DiscoveryAccuracy:
    """Of groups [n] and true classes [n]; in both the first ``known`` are the known ones.

    Images in new groups without a class to match, where there are more of them, are wrong.
    """
    is_new = truth >= known
    right = np.where(truth < known, of == truth, False)
    if is_new.any() and (of >= known).any():
        fits = of >= known
        named = _named(of[fits] - known, np.where(is_new, truth - known, -1)[fits])
        right[fits] = is_new[fits] & (named[of[fits] - known] == truth[fits] - known)
    whole = float((_named(of, truth)[of] == truth).mean()) if len(of) else None
    return DiscoveryAccuracy(_mean(right), _mean(right[~is_new]), _mean(right[is_new]), whole)


def _named(of: NDArray[np.int64], truth: NDArray[np.int64]) -> NDArray[np.int64]:
    """The class of each group, one-to-one, -1 for none; rows of the class -1 do not count."""
    counts = np.zeros((of.max() + 1, max(int(truth.max()) + 1, 1)), dtype=np.int64)
    np.add.at(counts, (of[truth >= 0], truth[truth >= 0]), 1)
    names = np.full(len(counts), -1, dtype=np.int64)
    groups, classes = linear_sum_assignment(counts, maximize=True)
    names[groups] = classes
    return names


def _mean(right: NDArray[np.bool_]) -> float | None:
    return float(right.mean()) if len(right) else None
