"""Scores of predictions in the gradual benchmark: pure functions, and the table.

What is scored, at each stage of one order and draw, of every image to be scored: a class, or a
group that stands for a class without a name; the probability of that answer; and how unknown
the image looks, higher is less known.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lll.bench.compare import paired_difference
from lll.metrics.discovery import discovery_accuracy
from lll.metrics.progress import forgetting_per_class, mean_forgetting
from lll.metrics.unknown import auroc

BINS = 15
FIGURES = ("all", "known", "new", "forgetting", "ece", "auroc")


@dataclass(frozen=True)
class Answers:
    """Answers at one stage: indices of classes or groups [n], shares in [0, 1] [n], scores [n].

    An answer below the number of classes is a class; groups have any numbers from there on.
    Where probabilities or scores are NaN, nobody gave them.
    """

    of: NDArray[np.int64]
    probability: NDArray[np.float64]
    unknown: NDArray[np.float64]


def stage_scores(
    answers: Answers, truth: NDArray[np.int64], known: Sequence[int], classes: int
) -> dict[str, Any]:
    """Figures of one stage, of which the classes ``known`` have labels; None where there is none.

    ``known`` and ``new``: accuracy on images of classes with and without labels. ``all``: on
    all of them. An answer that names a class without labels counts as a group, and groups are
    matched one-to-one to the classes without labels (Hungarian method). ``ece``: of the
    probabilities, on images of known classes. ``auroc``: of the unknown scores.
    ``per_class``: accuracy on the images of each class, of the known ones alone. ``groups``:
    how many groups, and classes without labels, any image was put into.
    """
    place = np.full(max(classes, int(answers.of.max()) + 1), -1)
    place[list(known)] = np.arange(len(known))
    rest = np.flatnonzero(place < 0)
    place[rest] = len(known) + np.arange(len(rest))
    found = discovery_accuracy(place[answers.of], place[truth], len(known))
    inside = np.isin(truth, list(known))
    right = answers.of == truth
    return {
        "all": found.all,
        "known": found.known,
        "new": found.new,
        "ece": given(calibration_error, right[inside], answers.probability[inside]),
        "auroc": None if inside.all() else given(auroc, ~inside, answers.unknown),
        "groups": len(np.setdiff1d(answers.of, known)),
        "per_class": [
            float(right[truth == c].mean()) if c in known else None for c in range(classes)
        ],
    }


def given(figure: Callable[..., float], of: NDArray[np.bool_], scores: Any) -> float | None:
    """``figure`` of both, None where the scores are not given."""
    return None if np.isnan(scores).any() else figure(of, scores)


def calibration_error(right: NDArray[np.bool_], probability: NDArray[np.float64]) -> float:
    """How far the ``probability`` [n] of answers is off the share that is ``right`` [n].

    In fifteen bins of equal width, each weighed by its images (Guo et al. 2017, "On calibration
    of modern neural networks").
    """
    bins = np.minimum((probability * BINS).astype(np.intp), BINS - 1)
    gaps = np.bincount(bins, right - probability, BINS)
    return float(np.abs(gaps).sum() / len(right))


def with_forgetting(stages: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """The figures of all stages, in order, with the mean ``forgetting`` up to each of them.

    Of each class that had labels at an earlier stage its best accuracy there minus that now.
    """
    rows = [stage["per_class"] for stage in stages]
    known = np.array([[share is not None for share in row] for row in rows])
    since = [int(column.argmax()) if column.any() else None for column in known.T]
    return [
        {**stage, "forgetting": mean_forgetting(forgetting_per_class(rows[: at + 1], since))}
        for at, stage in enumerate(stages)
    ]


def means(stages: Sequence[Mapping[str, Any]]) -> dict[str, float | None]:
    """Each figure over the stages that have it: its mean, but forgetting at the last stage.

    ``all`` is the primary number of the benchmark.
    """
    found: dict[str, float | None] = {}
    for name in FIGURES:
        values = [stage[name] for stage in stages if stage[name] is not None]
        found[name] = float(np.mean(values)) if values else None
    return found | {"forgetting": stages[-1]["forgetting"]}


def over_orders(values: Iterable[tuple[int, float | None]]) -> dict[str, Any] | None:
    """Mean of ``values`` by order of the classes, with its 95% interval from Student's t.

    Draws of one order are averaged first: they share the order. ``n`` counts orders. None for
    no value.
    """
    by_order: dict[int, list[float]] = {}
    for order, value in values:
        if value is not None:
            by_order.setdefault(order, []).append(value)
    return paired_difference([float(np.mean(each)) for each in by_order.values()])
