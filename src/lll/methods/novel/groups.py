"""Groups of images, of known classes and of new ones: semi-supervised k-means.

Source: Vaze et al. 2022, "Generalized category discovery" (labelled images stay with their
class); here with a metric learned from the known classes and an estimated prior, never equal
sizes.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor

from lll.methods.features.graph import nearest

SHRINKAGE = 0.1  # of the scatter within classes, towards a sphere
EVIDENCE = 500  # labelled images from which on the scatter is trusted so far
WIDTH = 64  # dimensions in which images are grouped
ROUNDS = 60
STARTS = 5
CANDIDATES = 8  # drawn for each centre to begin with, of which the best is taken
NEIGHBOURS = 10  # that are to be of the same group


@dataclass(frozen=True)
class Groups:
    """A group for each of n rows: the known classes first, then new ones.

    ``of`` [n]; ``distance`` [n] to the centre of the group, 1 for as far as labelled images
    are from theirs on average; ``share`` [k] of the unlabelled rows in each group.
    ``metric`` [d, w] and ``centres`` [k, w] place other points, see `placed`.
    """

    of: Int[Tensor, " n"]
    distance: Float[Tensor, " n"]
    share: Float[Tensor, " k"]
    metric: Float[Tensor, "d w"]
    centres: Float[Tensor, "k w"]
    spread: float

    def placed(self, points: Float[Tensor, "m d"]) -> tuple[Tensor, Tensor]:
        """The group [m] of other ``points``, and their distance [m] to its centre."""
        distances, of = _squares(points @ self.metric, self.centres).min(dim=1)
        return of, (distances / self.spread).clamp(min=0).sqrt()


def group(
    points: Float[Tensor, "n d"], targets: Int[Tensor, " n"], classes: int, new: int, seed: int
) -> Groups:
    """Groups of ``points``: ``classes`` known ones and ``new`` ones.

    ``targets`` [n] are known classes, each with a row or more, or -1. The best of several
    seeded starts, by the sum of squared distances.
    """
    points = points[:, :WIDTH]
    metric, spread = _metric(points, targets, classes)
    placed = points @ metric
    generator = torch.Generator().manual_seed(seed)
    runs = [_run(placed, targets, classes, new, generator) for _ in range(STARTS if new else 1)]
    _, of, centres = min(runs, key=lambda run: run[0])
    free = targets < 0
    counts = torch.bincount(of[free], minlength=classes + new).float()
    distance = (placed - centres[of]).square().sum(dim=1) / spread
    return Groups(of, distance.sqrt(), counts / counts.sum().clamp(min=1), metric, centres, spread)


def purity(
    points: Float[Tensor, "n d"], of: Int[Tensor, " n"], rows: Int[Tensor, " m"]
) -> Float[Tensor, " m"]:
    """Of each of ``rows``, which share of its nearest neighbours is in the group that it is in."""
    _, near = nearest(points[rows], points, NEIGHBOURS + 1)  # each is among its own
    same = (of[near] == of[rows][:, None]).float().sum(dim=1) - 1
    return same / max(near.shape[1] - 1, 1)


def _metric(
    points: Float[Tensor, "n d"], targets: Int[Tensor, " n"], classes: int
) -> tuple[Float[Tensor, "d d"], float]:
    """The map in which known classes scatter as a sphere, and their squared radius in it."""
    known = targets >= 0
    rows, labels = points[known], targets[known]
    inside = rows - _means(rows, labels, classes)[labels]
    width, freedom = points.shape[1], max(len(rows) - classes, 1)
    scatter = inside.T @ inside / freedom
    shrinkage = max(SHRINKAGE, EVIDENCE / (EVIDENCE + len(rows)))
    sphere = scatter.diagonal().mean().clamp(min=1e-12) * torch.eye(width)
    values, axes = torch.linalg.eigh((1 - shrinkage) * scatter + shrinkage * sphere)
    metric = axes * values.rsqrt()
    return metric, max(float((inside @ metric).square().sum()) / freedom, 1e-12)


def _run(
    points: Float[Tensor, "n d"],
    targets: Int[Tensor, " n"],
    classes: int,
    new: int,
    generator: torch.Generator,
) -> tuple[float, Tensor, Tensor]:
    """One descent from a drawn start: the sum of squares, groups [n] and centres [k, d]."""
    known = targets >= 0
    centres = _start(points, targets, classes, new, generator)
    of, total = targets, torch.tensor(0.0)
    for _ in range(ROUNDS):
        least, nearest_centre = _squares(points, centres).min(dim=1)
        before, of = of, torch.where(known, targets, nearest_centre)
        total = least[~known].sum()
        if torch.equal(before, of):
            break
        counts = torch.bincount(of, minlength=len(centres))
        moved = _means(points, of, len(centres))
        centres = torch.where(counts[:, None] > 0, moved, centres)
    return float(total), of, centres


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
    centres = _means(points[known], targets[known], classes)
    least = _squares(free, centres).min(dim=1).values.clamp(min=1e-12)
    for _ in range(new):
        drawn = torch.multinomial(least, CANDIDATES, replacement=True, generator=generator)
        closer = torch.minimum(least[:, None], _squares(free, free[drawn])).clamp(min=1e-12)
        best = int(closer.sum(dim=0).argmin())
        centres, least = torch.cat([centres, free[drawn[best]][None]]), closer[:, best]
    return centres


def _means(
    points: Float[Tensor, "n d"], of: Int[Tensor, " n"], groups: int
) -> Float[Tensor, "k d"]:
    sums = torch.zeros(groups, points.shape[1]).index_add_(0, of, points)
    return sums / torch.bincount(of, minlength=groups).clamp(min=1)[:, None]


def _squares(points: Float[Tensor, "n d"], centres: Float[Tensor, "k d"]) -> Float[Tensor, "n k"]:
    """Squared distances."""
    return (
        points.square().sum(dim=1, keepdim=True)
        - 2 * points @ centres.T
        + centres.square().sum(dim=1)
    )
