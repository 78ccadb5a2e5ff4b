"""Semi-supervised k-means: labelled rows stay with their class.

Source: Vaze et al. 2022, "Generalized category discovery".
"""

from __future__ import annotations

import torch
from jaxtyping import Float, Int
from torch import Tensor

ROUNDS = 60
CANDIDATES = 8  # drawn for each centre to begin with, of which the best is taken


def k_means(
    points: Float[Tensor, "n d"],
    targets: Int[Tensor, " n"],
    classes: int,
    new: int,
    seed: int,
    starts: int = 5,
) -> Int[Tensor, " n"]:
    """A group [n] for each row: ``classes`` known ones, then ``new`` ones.

    ``targets`` [n] are known classes, each with a row or more, or -1. The best of several seeded
    starts, by the sum of squared distances of rows without a label.
    """
    generator = torch.Generator().manual_seed(seed)
    runs = (_run(points, targets, classes, new, generator) for _ in range(starts if new else 1))
    return min(runs, key=lambda run: run[0])[1]


def means_of(
    points: Float[Tensor, "n d"], of: Int[Tensor, " n"], groups: int
) -> Float[Tensor, "k d"]:
    """The mean of each group; zero for one without rows."""
    sums = torch.zeros(groups, points.shape[1]).index_add_(0, of, points)
    return sums / torch.bincount(of, minlength=groups).clamp(min=1)[:, None]


def squares(points: Float[Tensor, "n d"], centres: Float[Tensor, "k d"]) -> Float[Tensor, "n k"]:
    """Squared distances."""
    sizes = points.square().sum(dim=1, keepdim=True) + centres.square().sum(dim=1)
    return (sizes - 2 * points @ centres.T).clamp(min=0)


def _run(
    points: Float[Tensor, "n d"],
    targets: Int[Tensor, " n"],
    classes: int,
    new: int,
    generator: torch.Generator,
) -> tuple[float, Int[Tensor, " n"]]:
    """One descent from a drawn start: the sum of squares, and the groups."""
    known = targets >= 0
    centres = _start(points, targets, classes, new, generator)
    of, total = targets, 0.0
    for _ in range(ROUNDS):
        least, nearest = squares(points, centres).min(dim=1)
        before, of = of, torch.where(known, targets, nearest)
        total = float(least[~known].sum())
        if torch.equal(before, of):
            break
        counts = torch.bincount(of, minlength=len(centres))
        centres = torch.where(counts[:, None] > 0, means_of(points, of, len(centres)), centres)
    return total, of


def _start(
    points: Float[Tensor, "n d"],
    targets: Int[Tensor, " n"],
    classes: int,
    new: int,
    generator: torch.Generator,
) -> Float[Tensor, "k d"]:
    """Means of the known classes, then rows far from all centres so far.

    Greedy k-means++ (Arthur and Vassilvitskii 2007).
    """
    known, free = targets >= 0, points[targets < 0]
    centres = means_of(points[known], targets[known], classes)
    if not new:
        return centres
    least = squares(free, centres).min(dim=1).values.clamp(min=1e-12)
    for _ in range(new):
        drawn = torch.multinomial(least, CANDIDATES, replacement=True, generator=generator)
        closer = torch.minimum(least[:, None], squares(free, free[drawn])).clamp(min=1e-12)
        best = int(closer.sum(dim=0).argmin())
        centres, least = torch.cat([centres, free[drawn[best]][None]]), closer[:, best]
    return centres
