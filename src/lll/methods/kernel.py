"""``kernel``: kernel ridge regression on the labelled rows alone.

Each labelled image speaks for images that are like it, so the border between classes can be
curved, which pays once there are labels enough to say how.

Use it where every class has hundreds of labels.
"""

from __future__ import annotations

import torch

from lll.methods.features.fitted import Answer, Centres, best_scale, method_of
from lll.methods.features.kernel import fit_kernel, some_rows, spoken
from lll.methods.features.prior import prior_among
from lll.methods.features.problem import Problem

SEEN = 5000  # unlabelled rows at most that the prior is estimated from


def answer(problem: Problem) -> Answer:
    """The classifier, and its answers to labelled rows that it did not see."""
    points, classes = problem.space.points, len(problem.present)
    held, truth = [torch.zeros(0, classes)], [problem.labels[:0]]
    for fold in problem.folds():
        centres = taught(problem.without(fold))
        held.append(spoken(points[problem.rows[fold]], centres.points, centres.weights))
        truth.append(problem.labels[fold])
    found, scores, labels = taught(problem), torch.cat(held), torch.cat(truth)
    free = problem.unlabelled
    some = free[torch.linspace(0, max(len(free) - 1, 0), min(SEEN, len(free))).long()]
    logits = best_scale(scores, labels) * spoken(points[some], found.points, found.weights)
    prior = prior_among(torch.softmax(logits, dim=1), problem.counts, len(free))
    flat = torch.zeros(points.shape[1] + 1, classes)
    return Answer(flat, scores, labels, prior, centres=found)


def taught(problem: Problem) -> Centres:
    """The labelled rows, some of many, and the weights that all of them taught."""
    at = some_rows(problem.labels, problem.seed)
    points = problem.space.points[problem.rows[at]]
    return Centres(points, fit_kernel(points, problem.labels[at], len(problem.present)))


METHOD = method_of("kernel ridge regression on features, balanced over the classes", answer)
