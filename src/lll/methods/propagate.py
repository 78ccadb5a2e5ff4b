"""``propagate``: labels spread over the graph of all images, then teach a linear classifier.

Label propagation; soft labels balanced to an estimated prior; softmax regression on the most
confident of them and on the labels; rounds of self-training. Source of the parts: Zhou et al.
2004 (propagation), Iscen et al. 2019 (its labels as pseudo-labels), Saerens et al. 2002 (prior).

Use it on photos with few labels, 1 to 50 a class, and many images without.
"""

from __future__ import annotations

import torch
from jaxtyping import Float, Int
from torch import Tensor

from lll.methods.features.fitted import Answer, method_of
from lll.methods.features.graph import spread
from lll.methods.features.prior import balance, estimate_prior
from lll.methods.features.problem import Problem
from lll.methods.features.softmax import fit_softmax, with_ones

CONFIDENT = (0.5, 0.5, 0.5, 0.8, 0.9)  # share of each class that teaches, round by round
PENALTY = 3e-4
STEPS = 15  # of the solver: each round starts where the last one ended
PUPILS = 12_000  # unlabelled rows at most that teach: more cost time and add nothing
LEAST, HALF = 0.2, 120  # share of the loss that labels have: at least, a half at 120 a class
EVIDENCE = 2.0  # labels a class that all images together weigh in the prior


def answer(problem: Problem) -> Answer:
    """The classifier, and its answers to labelled rows that were unlabelled meanwhile."""
    weights, prior = solve(problem)
    points = with_ones(problem.space.points[problem.rows])
    folds = problem.folds()
    held = [points[each] @ solve(problem.without(each))[0] for each in folds]
    empty = torch.zeros(0, len(problem.present))
    truth = torch.cat([problem.labels[:0], *(problem.labels[each] for each in folds)])
    return Answer(weights, torch.cat([empty, *held]), truth, prior)


def solve(problem: Problem) -> tuple[Float[Tensor, "k1 c"], Float[Tensor, " c"]]:
    """Weights, and the prior of the classes among the unlabelled rows."""
    points = with_ones(problem.space.points)
    free = problem.unlabelled
    counts = problem.counts
    scores, weights = _propagated(problem)[free], torch.zeros(points.shape[1], len(counts))
    for share in CONFIDENT:
        prior = estimate_prior(scores, counts, EVIDENCE * len(counts))
        soft = balance(scores, prior)
        at = confident(soft, share, problem.seed)
        weights = _taught(problem, points, free[at], soft[at].argmax(dim=1), weights)
        scores = torch.softmax(points[free] @ weights, dim=1)
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
    """How much of each class reaches each row; all classes start with, and end at, the same sum."""
    seeds = torch.zeros(len(problem.space.points), len(problem.present))
    seeds[problem.rows] = problem.one_hot
    reached = torch.from_numpy(spread(problem.space.graph, seeds.numpy()))
    return reached / reached.sum(dim=0).clamp(min=1e-30)


def _taught(
    problem: Problem,
    points: Float[Tensor, "n k1"],
    pupils: Int[Tensor, " s"],
    taken_for: Int[Tensor, " s"],
    start: Float[Tensor, "k1 c"],
) -> Float[Tensor, "k1 c"]:
    """Softmax regression on labels and pseudo-labels, each class with the same weight in both."""
    each = float(problem.counts.mean())
    share = max(LEAST, each / (each + HALF)) if len(pupils) else 1.0
    pseudo = torch.nn.functional.one_hot(taken_for, len(problem.present)).float()
    pseudo = pseudo / pseudo.sum(dim=0).clamp(min=1) / len(problem.present)
    targets = torch.cat([share * problem.one_hot, (1 - share) * pseudo])[None]
    rows = points[torch.cat([problem.rows, pupils])]
    return fit_softmax(rows, targets, torch.tensor([PENALTY]), start[None], STEPS)[0]


METHOD = method_of("labels spread over a graph of all images, which teach a classifier", answer)
