"""How many images are of no known class, and how many classes would that be?"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from lll.methods.features.softmax import fit_softmax, with_ones

SPLITS = 3
FEW = 500  # labelled rows under which the penalty is ten times as large
PENALTY = 1e-3
SLACK = 0.02  # in the share of unlabelled rows, so that no handful of rows decides
SPAN = 3  # times as large as known classes, and a third as large: new ones at the range's ends
NO_SIGN = 0.95  # share of known images from which on there is no sign of new classes


@dataclass(frozen=True)
class Number:
    """How many new classes there may be: ``new``, and the range from ``low`` to ``high``.

    ``known_share`` of the unlabelled images are estimated to be of known classes (``shares``
    by other splits), and a known class has ``size`` images on average. ``new`` is 0 where there
    is no sign of new classes.
    """

    new: int
    low: int
    high: int
    known_share: float
    shares: tuple[float, ...]
    size: float


def estimate_number(
    points: Float[Tensor, "n d"], labelled: Bool[Tensor, " n"], classes: int, seed: int
) -> Number:
    """How many new classes there may be, if they are about as large as known ones.

    The range covers the estimates by single splits, for new classes from `SPAN` times as large to
    a third as large. It held the truth in 100 of 108 simulated worlds with equal, smaller, larger
    and long-tailed new classes (`benchmarks/accuracy/number.py`). It takes labelled rows for a
    random draw of the known classes.
    """
    shares = known_shares(points, labelled, seed)
    known = float(shares.median())
    free = int((~labelled).sum())
    size = (int(labelled.sum()) + known * free) / classes

    def classes_of(share: float, factor: float) -> int:
        return round((1 - share) * free / (factor * size))

    most = max(1, classes_of(float(shares.min()), 1 / SPAN))
    if known >= NO_SIGN:
        return Number(0, 0, most, known, _plain(shares), size)
    new, low = max(1, classes_of(known, 1)), classes_of(float(shares.max()), SPAN)
    return Number(new, low, most, known, _plain(shares), size)


def known_share_of(
    points: Float[Tensor, "n d"], labelled: Bool[Tensor, " n"], classes: int, new: int, seed: int
) -> float:
    """The share of known images among those without a label, where there are ``new`` classes.

    As `known_shares` says, in the median. Under `FEW` labels that is too uncertain, and all
    classes are taken for as large on average as each other.
    """
    rows, known = len(points), int(labelled.sum())
    if known >= FEW:
        share = float(known_shares(points, labelled, seed).median())
    else:
        share = (rows * classes / (classes + new) - known) / max(rows - known, 1)
    return min(max(share, 0.02), 0.98)


def known_shares(
    points: Float[Tensor, "n d"], labelled: Bool[Tensor, " n"], seed: int
) -> Float[Tensor, " s"]:
    """Which share of the unlabelled rows is of the classes of the ``labelled`` ones.

    A mixture proportion from positive and unlabelled examples: a classifier tells labelled
    from unlabelled rows, scored out of fold; among the rows that look most labelled, the
    share of unlabelled ones is as large as it can be explained by known classes alone. One
    estimate for each of several splits. Source: Garg et al. 2021, "Mixture proportion estimation
    and PU learning: a modern approach" (best bin estimation).
    """
    generator = torch.Generator().manual_seed(seed)
    return torch.stack([_share(_scores(points, labelled, generator), labelled)
                        for _ in range(SPLITS)])  # fmt: skip


def _scores(
    points: Float[Tensor, "n d"], labelled: Bool[Tensor, " n"], generator: torch.Generator
) -> Float[Tensor, " n"]:
    """How labelled each row looks to a classifier that was fitted to the other half."""
    rows = with_ones(points)
    half = torch.zeros(len(rows), dtype=torch.bool)
    for side in (labelled, ~labelled):
        at = torch.nonzero(side)[:, 0]
        half[at[torch.randperm(len(at), generator=generator)[: len(at) // 2]]] = True
    sides = torch.stack([~labelled, labelled], dim=1).float()
    folds = torch.stack([half, ~half])[:, :, None] * sides
    targets = folds / folds.sum(dim=1, keepdim=True).clamp(min=1) / 2
    penalty = PENALTY if int(labelled.sum()) >= FEW else 10 * PENALTY
    weights = fit_softmax(rows, targets, torch.full((2,), penalty))
    one, other = ((rows @ w).diff(dim=1)[:, 0] for w in weights)
    return torch.where(half, other, one)


def _share(scores: Float[Tensor, " n"], labelled: Bool[Tensor, " n"]) -> Float[Tensor, ""]:
    """The least ratio of unlabelled to labelled rows above a threshold, both as shares."""
    positive, free = scores[labelled].sort().values, scores[~labelled].sort().values
    count = len(positive)
    least = 0.1 if count > 200 else 0.3
    tops = torch.arange(max(1, int(least * count)), count + 1)  # rows above the threshold
    above = len(free) - torch.searchsorted(free, positive[count - tops])
    found, caught = above / max(len(free), 1), tops / count
    best = ((found + SLACK) / caught).argmin()
    return (found[best] / caught[best]).clamp(max=1)


def _plain(shares: Float[Tensor, " s"]) -> tuple[float, ...]:
    return tuple(round(float(share), 4) for share in shares)
