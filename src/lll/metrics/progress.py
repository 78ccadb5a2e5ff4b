"""Figures over a whole run: forgetting, and accuracy against the labels that it took."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np


def forgetting_per_class(
    accuracies: Sequence[Sequence[float | None]], since: Sequence[int | None]
) -> tuple[float | None, ...]:
    """For each class, its best accuracy at an earlier epoch minus that at the last one.

    ``accuracies`` [epochs][classes] are shares in [0, 1] after each epoch; ``since`` [classes]
    is the epoch at which a class was first represented, None for never. The best is taken
    from that epoch on and before the last; a class without such an epoch, or without test
    images, has None. Negative where the class went on improving.

    Source: Chaudhry et al. 2018, "Riemannian walk for incremental learning", forgetting measure
    f = max over l < k of a(l, j) - a(k, j). Departs from it: j is a class instead of a task,
    l an epoch instead of a task. The best of many noisy epochs lies above their mean, so
    longer runs show a little more of it.
    """
    last = len(accuracies) - 1
    return tuple(
        _drop([row[c] for row in accuracies[first:]])
        if first is not None and first < last
        else None
        for c, first in enumerate(since)
    )


def _drop(course: Sequence[float | None]) -> float | None:
    """The best of ``course`` but for the last, minus the last; None if one is missing."""
    known = [share for share in course if share is not None]
    return max(known[:-1]) - known[-1] if len(known) == len(course) else None


def mean_forgetting(per_class: Sequence[float | None]) -> float | None:
    """The mean of `forgetting_per_class` over the classes that have it (Chaudhry's F)."""
    known = [drop for drop in per_class if drop is not None]
    return sum(known) / len(known) if known else None


def area_under_labels(
    labels_known: Sequence[int], accuracies: Sequence[float | None]
) -> float | None:
    """Area under accuracy against labels known, divided by the range of labels: in [0, 1].

    One point per epoch, in order, joined by straight lines (trapezoids): the mean accuracy
    over the labels as they arrived. Epochs that bring no label have no width. None if no
    label arrived after the first epoch, and where an accuracy is missing.

    Source: the area under the learning curve, as in Guyon et al. 2011, "Results of the active
    learning challenge", but on a linear axis of labels and without rescaling by chance.
    """
    labels, shares = np.asarray(labels_known, float), np.asarray(accuracies, float)
    width = labels[-1] - labels[0]
    if width <= 0 or np.isnan(shares).any():
        return None
    area = np.sum(np.diff(labels) * (shares[:-1] + shares[1:]) / 2)
    return float(area / width)
