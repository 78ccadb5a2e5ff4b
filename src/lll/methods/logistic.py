"""``logistic``: logistic regression on the labelled rows alone, the row that all must beat.

Multinomial, each class with the same weight, L2; the penalty by cross-validation.

Use it as the row to beat, and where there are hundreds of labels a class.
"""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor

from lll.methods.features.fitted import Answer, best_scale, log_losses, method_of
from lll.methods.features.prior import prior_among
from lll.methods.features.problem import Problem
from lll.methods.features.softmax import fit_softmax, with_ones

PENALTIES = (0.01, 0.03, 0.1, 0.3, 1.0)  # over the labels per class
USUAL = 2  # which of them, where labels cannot tell


def answer(problem: Problem) -> Answer:
    """The classifier with the penalty that cross-validation takes, see `choose`."""
    found = [(held, _solve(problem.without(held), PENALTIES)) for held in problem.folds()]
    truth = torch.cat([problem.labels[held] for held, _ in found] or [problem.labels[:0]])
    points = with_ones(problem.space.points[problem.rows])
    logits = torch.cat(
        [points[held] @ weights for held, weights in found]
        or [torch.zeros(len(PENALTIES), 0, len(problem.present))],
        dim=1,
    )
    taken = choose(logits, truth)
    weights = taught(problem, PENALTIES[taken])
    notes = {"penalty": PENALTIES[taken] / float(problem.counts.mean())}
    free = with_ones(problem.space.points[problem.unlabelled])
    prior = prior_among(torch.softmax(free @ weights, dim=1), problem.counts, len(free))
    return Answer(weights, logits[taken], truth, prior, notes)


def taught(problem: Problem, penalty: float = PENALTIES[USUAL]) -> Float[Tensor, "k1 c"]:
    """Weights that all labels taught, with a ``penalty`` over the labels per class."""
    return _solve(problem, (penalty,))[0]


def choose(logits: Float[Tensor, "p t c"], truth: Tensor) -> int:
    """The penalty whose held-out log loss is least, each at its own best temperature.

    It must beat the usual one by more than the standard error of the difference: a few labels
    cannot tell penalties apart, and noise must not choose.
    """
    if len(truth) < 2:
        return USUAL
    losses = torch.stack([log_losses(best_scale(each, truth) * each, truth) for each in logits])
    gain = losses[USUAL] - losses
    certain = gain.mean(dim=1) - gain.std(dim=1) / len(truth) ** 0.5
    best = int(losses.mean(dim=1).argmin())
    return best if certain[best] > 0 else USUAL


def _solve(problem: Problem, penalties: tuple[float, ...]) -> Float[Tensor, "p k1 c"]:
    points = with_ones(problem.space.points[problem.rows])
    targets = problem.one_hot.expand(len(penalties), -1, -1)
    return fit_softmax(points, targets, torch.tensor(penalties) / problem.counts.mean())


METHOD = method_of("logistic regression on features, balanced over the classes", answer)
