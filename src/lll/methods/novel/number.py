"""How many images are of no known class, and how many classes would that be?"""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float, Int
from torch import Tensor

from lll.methods.features.softmax import fit_softmax, with_ones

SPLITS = 3
FEW = 500  # labelled rows under which the penalty is ten times as large
PENALTY = 1e-3
STEPS = 30  # of the softmax regressions
LEAST = 1e-4  # share of a class, so that its labels count at all
SLACK = 0.02  # in the share of unlabelled rows, so that no handful of rows decides
SPAN = 3  # times as large as known classes, and a third as large: new ones at the range's ends
BEYOND = 2  # times the upper end of the range: more new classes are not taken for as large
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
    points: Float[Tensor, "n d"], targets: Int[Tensor, " n"], classes: int, seed: int
) -> Number:
    """How many new classes there may be, if they are about as large as known ones.

    The range covers the estimates by single splits, for new classes from `SPAN` times as large to
    a third as large. It held the truth in 150 of 162 simulated worlds with equal, smaller, larger
    and long-tailed new classes (`benchmarks/accuracy/number.py`). It takes the labelled rows of a
    class for a random draw from it.
    """
    shares = known_shares(points, targets, classes, seed)
    known = float(shares.median())
    free = int((targets < 0).sum())
    size = (len(points) - free + known * free) / classes

    def classes_of(share: float, factor: float) -> int:
        return round((1 - share) * free / (factor * size))

    most = max(1, classes_of(float(shares.min()), 1 / SPAN))
    if known >= NO_SIGN:
        return Number(0, 0, most, known, _plain(shares), size)
    new, low = max(1, classes_of(known, 1)), classes_of(float(shares.max()), SPAN)
    return Number(new, low, most, known, _plain(shares), size)


def known_share_of(
    points: Float[Tensor, "n d"], targets: Int[Tensor, " n"], classes: int, new: int, seed: int
) -> float:
    """The share of known images among those without a label, where there are ``new`` classes.

    As `known_shares` says, in the median. Under `FEW` labels that is too uncertain, and all
    classes are taken for as large on average as each other, unless ``new`` is far beyond what
    the estimate allows: known classes would keep next to no image.
    """
    rows, known = len(points), int((targets >= 0).sum())
    found = estimate_number(points, targets, classes, seed)
    share = found.known_share
    if known < FEW and new <= BEYOND * found.high:
        share = (rows * classes / (classes + new) - known) / max(rows - known, 1)
    return min(max(share, 0.02), 0.98)


def known_shares(
    points: Float[Tensor, "n d"], targets: Int[Tensor, " n"], classes: int, seed: int
) -> Float[Tensor, " s"]:
    """Which share of the unlabelled rows is of the known classes. One estimate for each split.

    ``targets`` [n] are known classes or -1. A mixture proportion from positive and unlabelled
    examples: a classifier tells labelled from unlabelled rows, scored out of fold; among the rows
    that look most labelled, the share of unlabelled ones is as large as it can be explained by
    known classes alone. Source: Garg et al. 2021, "Mixture proportion estimation and PU learning:
    a modern approach" (best bin estimation).

    A class that is labelled almost whole would decide alone. So labelled rows also weigh as
    much as their class seems to have unlabelled rows. However they weigh, the least ratio is at
    most the true share, and it is that share for the right weights: the larger median counts.
    """
    generator, rows = torch.Generator().manual_seed(seed), with_ones(points)
    labelled, counts = targets >= 0, torch.bincount(targets[targets >= 0], minlength=classes)
    penalty = PENALTY if int(labelled.sum()) >= FEW else 10 * PENALTY
    plain = [_half(labelled.long(), generator) for _ in range(SPLITS)]
    by_class = [_half(targets, generator) for _ in range(SPLITS)]
    parts = [_class_shares(rows, targets, classes, half, penalty) for half in by_class]
    left = torch.stack(parts).median(dim=0).values + LEAST
    weights = (left / counts.clamp(min=1))[targets.clamp(min=0)] * labelled
    found = [
        torch.stack([_pooled_share(rows, weight, labelled, half, penalty) for half in halves])
        for weight, halves in ((labelled.float(), plain), (weights, by_class))
    ]
    return max(found, key=lambda shares: float(shares.median()))


def _pooled_share(
    rows: Float[Tensor, "n d1"],
    weights: Float[Tensor, " n"],
    labelled: Bool[Tensor, " n"],
    half: Bool[Tensor, " n"],
    penalty: float,
) -> Float[Tensor, ""]:
    """The least ratio where labelled rows have these ``weights``; others have 0."""
    sides = torch.stack([(~labelled).float(), weights], dim=1)
    logits = _out_of_fold(rows, sides, half, torch.tensor([0.5, 0.5]), penalty)
    return _share(logits.diff(dim=1)[:, 0], weights, labelled, SLACK)


def _class_shares(
    rows: Float[Tensor, "n d1"],
    targets: Int[Tensor, " n"],
    classes: int,
    half: Bool[Tensor, " n"],
    penalty: float,
) -> Float[Tensor, " c"]:
    """Which share of the unlabelled rows each class has: by class as `known_shares` over all."""
    sides = F.one_hot(torch.where(targets < 0, classes, targets), classes + 1).float()
    weights = torch.tensor([0.5 / classes] * classes + [0.5])
    logits = _out_of_fold(rows, sides, half, weights, penalty)
    shares = torch.zeros(classes)
    for c in range(classes):
        mine, at = targets == c, (targets == c) | (targets < 0)
        if bool(mine.any()):
            scores = logits[at, c] - logits[at, classes]
            shares[c] = _share(scores, mine[at].float(), mine[at], SLACK / classes)
    return shares


def _half(kinds: Int[Tensor, " n"], generator: torch.Generator) -> Bool[Tensor, " n"]:
    """Half of the rows of each of ``kinds``, rounded down."""
    half = torch.zeros(len(kinds), dtype=torch.bool)
    for kind in range(int(kinds.min()), int(kinds.max()) + 1):
        at = torch.nonzero(kinds == kind)[:, 0]
        half[at[torch.randperm(len(at), generator=generator)[: len(at) // 2]]] = True
    return half


def _out_of_fold(
    rows: Float[Tensor, "n d1"],
    sides: Float[Tensor, "n k"],
    half: Bool[Tensor, " n"],
    weights: Float[Tensor, " k"],
    penalty: float,
) -> Float[Tensor, "n k"]:
    """Logits of a softmax regression on the weighted ``sides``, by the fit to the other half.

    Each side has its share of ``weights`` of the loss.
    """
    folds = torch.stack([half, ~half])[:, :, None] * sides
    targets = folds / folds.sum(dim=1, keepdim=True).clamp(min=1e-9) * weights
    fitted = fit_softmax(rows, targets, torch.full((2,), penalty), steps=STEPS)
    one, other = (rows @ each for each in fitted)
    return torch.where(half[:, None], other, one)


def _share(
    scores: Float[Tensor, " n"],
    weights: Float[Tensor, " n"],
    labelled: Bool[Tensor, " n"],
    slack: float,
) -> Float[Tensor, ""]:
    """The least ratio of unlabelled to labelled rows above a threshold, both as shares."""
    positive, order = scores[labelled].sort(descending=True)
    free, count = scores[~labelled].sort().values, len(positive)
    caught = weights[labelled][order].cumsum(dim=0) / weights.sum()
    found = (len(free) - torch.searchsorted(free, positive)) / max(len(free), 1)
    few = caught < (0.1 if count > 200 else 0.3)
    few[-1] = False
    best = torch.where(few, torch.inf, (found + slack) / caught).argmin()
    return (found[best] / caught[best]).clamp(max=1)


def _plain(shares: Float[Tensor, " s"]) -> tuple[float, ...]:
    return tuple(round(float(share), 4) for share in shares)
