"""``propagate``: labels spread over the graph of all images, then teach a linear classifier.

Label propagation; soft labels balanced to an estimated prior; softmax regression on the most
confident of them and on the labels; rounds of self-training. Source of the parts: Zhou et al.
2004 (propagation), Iscen et al. 2019 (its labels as pseudo-labels), Saerens et al. 2002 (prior).

Use it on photos with few labels, 1 to 50 a class, and many images without.
"""

from __future__ import annotations

from collections.abc import Iterator

import torch
from jaxtyping import Float, Int
from torch import Tensor

from lll.methods.features.fitted import Answer, method_of
from lll.methods.features.graph import spread
from lll.methods.features.prior import balance, left, prior_among
from lll.methods.features.problem import Problem
from lll.methods.features.softmax import fit_softmax, with_ones

CONFIDENT = (0.5, 0.5, 0.5, 0.8, 0.9)  # share of each class that teaches, round by round
PENALTY = 3e-4
STEPS = 10  # of the solver: each round starts where the last one ended
PUPILS = 6_000  # unlabelled rows at most that teach: more cost time and add nothing
LEAST, HALF = 0.2, 120  # share of a class's loss that labels have: at least, a half at 120


def answer(problem: Problem) -> Answer:
    """The classifier, and its answers to labelled rows that were unlabelled meanwhile."""
    weights, prior = taught(problem)
    held = torch.cat([torch.zeros(0, len(problem.present)), *held_out(problem)])
    truth = torch.cat([problem.labels[:0], *(problem.labels[each] for each in problem.folds())])
    return Answer(weights, held, truth, prior)


def taught(problem: Problem) -> tuple[Float[Tensor, "k1 c"], Float[Tensor, " c"]]:
    """Weights that all labels taught, and the prior of the classes among all rows."""
    return solve(problem, _propagated(problem))


def held_out(problem: Problem) -> Iterator[Float[Tensor, "t c"]]:
    """Fold by fold, what a classifier that did not know their labels says of its rows."""
    points = with_ones(problem.space.points[problem.rows])
    for each in problem.folds():
        weights, _ = taught(problem.without(each))
        yield points[each] @ weights


def solve(
    problem: Problem, reached: Float[Tensor, "n c"]
) -> tuple[Float[Tensor, "k1 c"], Float[Tensor, " c"]]:
    """Weights, and the prior of the classes among all rows.

    ``reached`` is how much of each class reaches each row.
    """
    free, counts = problem.unlabelled, problem.counts
    points, known = (with_ones(problem.space.points[at]) for at in (free, problem.rows))
    weights = torch.zeros(points.shape[1], len(counts))
    scores = reached[free].T.contiguous().T  # classes apart in memory: a third of the time
    for share in CONFIDENT:
        prior = prior_among(scores, counts, len(free))
        soft = balance(scores, left(prior, counts, len(free)))
        at = confident(soft, share, problem.seed)
        rows = torch.cat([known, points[at]])
        targets = _targets(problem, soft[at].argmax(dim=1))[None]
        weights = fit_softmax(rows, targets, torch.tensor([PENALTY]), weights[None], STEPS)[0]
        scores = torch.softmax(weights.T @ points.T, dim=0).T
    return weights, prior


def confident(
    soft: Float[Tensor, "m c"], share: float, seed: int, most: int = PUPILS
) -> Int[Tensor, " s"]:
    """The ``share`` of each predicted class that is most confident; ``most`` in all, by lot."""
    confidence, predicted = soft.max(dim=1)
    parts = []
    for c in range(soft.shape[1]):
        at = torch.nonzero(predicted == c)[:, 0]
        parts.append(at[confidence[at].topk(-int(-share * len(at) // 1)).indices])
    chosen = torch.cat(parts)
    order = torch.randperm(len(chosen), generator=torch.Generator().manual_seed(seed))
    return chosen[order[:most]].sort().values


def _propagated(problem: Problem) -> Float[Tensor, "n c"]:
    """How much of each class reaches each row; all classes start with, and end at, one sum."""
    seeds = torch.zeros(len(problem.space.points), len(problem.present))
    seeds[problem.rows] = problem.one_hot
    reached = torch.from_numpy(spread(problem.space.graph, seeds.numpy()))
    return reached / reached.sum(dim=0).clamp(min=1e-30)


def _targets(problem: Problem, taken_for: Int[Tensor, " s"]) -> Float[Tensor, "r c"]:
    """Weights of labelled rows, then of pseudo-labelled ones: of each class the same in both."""
    counts, classes = problem.counts, len(problem.present)
    pseudo = torch.nn.functional.one_hot(taken_for, classes).float()
    sums = pseudo.sum(dim=0)
    share = (counts / (counts + HALF)).clamp(min=LEAST)
    share = torch.where(sums > 0, share, 1.0)
    return torch.cat([problem.one_hot * share, pseudo * (1 - share) / sums.clamp(min=1) / classes])


METHOD = method_of("labels spread over a graph of all images, which teach a classifier", answer)
