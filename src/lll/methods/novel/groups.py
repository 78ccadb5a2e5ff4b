"""Groups of images, of known classes and of new ones.

Semi-supervised k-means (GCD, Vaze et al. 2022) on points that are smoothed over the graph of
neighbours, then in a metric learned from the known classes (LDA), with an estimated prior:
sizes are never taken to be equal. A softmax regression on what comes out has the last word.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from scipy import sparse
from torch import Tensor

from lll.methods.features.graph import nearest, neighbour_graph
from lll.methods.features.softmax import fit_softmax, with_ones
from lll.methods.novel.kmeans import k_means, means_of, squares

WIDTH = 64  # dimensions in which images are grouped
SMOOTHINGS = 6  # steps over the graph
SHRINKAGE = 0.05  # of the scatter within classes, towards a sphere, at least
EVIDENCE = 100  # labelled rows at which half of the scatter is trusted
ROUNDS = 25  # of soft assignments
SOFTNESS = 0.1  # of assignments, in mean squared distances
DAMPING = 0.8  # of the prior, from sizes as found (0) to equal ones (1)
PULL = 0.9  # towards the prior, 1 for exactly
PENALTY, STEPS = 3e-4, 25  # of the softmax regression
NEIGHBOURS = 10  # that are to be of the same group


@dataclass(frozen=True)
class Groups:
    """A group [n] for each of n rows: the known classes first, then new ones.

    ``distance`` [n] to the centre of the group, 1 for as far as labelled images are from theirs on
    average; ``share`` [k] is the estimated share of each group among the unlabelled rows.
    ``weights`` [d + 1, k] place other points in groups; ``metric`` [w, w] and ``centres`` [k, w]
    say how far they are from it, see `placed`.
    """

    of: Int[Tensor, " n"]
    distance: Float[Tensor, " n"]
    share: Float[Tensor, " k"]
    weights: Float[Tensor, "d1 k"]
    metric: Float[Tensor, "w w"]
    centres: Float[Tensor, "k w"]
    spread: float

    def placed(self, points: Float[Tensor, "m d"]) -> tuple[Tensor, Tensor]:
        """The group [m] of other ``points``, and the distance [m] to its centre."""
        of = (with_ones(points) @ self.weights).argmax(dim=1)
        distances = (_near(points) @ self.metric - self.centres[of]).square().sum(dim=1)
        return of, (distances / self.spread).sqrt()


def group(
    points: Float[Tensor, "n d"],
    targets: Int[Tensor, " n"],
    classes: int,
    new: int,
    known_share: float,
    seed: int,
) -> Groups:
    """Groups of ``points``: ``classes`` known ones and ``new`` ones.

    ``targets`` [n] are known classes, each with a row or more, or -1; ``known_share`` of those
    without a label are estimated to be of known classes.
    """
    near, groups = _near(points), classes + new
    smooth = _smoothed(near, neighbour_graph(near))
    of = k_means(smooth, targets, classes, new, seed)
    share = known_share if new else 1.0
    of, _, _ = _balanced(smooth, targets, of, classes, groups, share)
    metric, spread = _metric(near, targets, classes)
    of, centres, prior = _balanced(near @ metric, targets, of, classes, groups, share)
    weights = _weights(points, of, groups)
    of = torch.where(targets < 0, (with_ones(points) @ weights).argmax(dim=1), targets)
    distance = (near @ metric - centres[of]).square().sum(dim=1) / spread
    return Groups(of, distance.sqrt(), prior, weights, metric, centres, spread)


def purity(
    points: Float[Tensor, "n d"], of: Int[Tensor, " n"], rows: Int[Tensor, " m"]
) -> Float[Tensor, " m"]:
    """Of each of ``rows``, which share of its nearest neighbours is in the group that it is in."""
    _, near = nearest(points[rows], points, NEIGHBOURS + 1)  # each is among its own
    same = (of[near] == of[rows][:, None]).float().sum(dim=1) - 1
    return same / max(near.shape[1] - 1, 1)


def _weights(
    points: Float[Tensor, "n d"], of: Int[Tensor, " n"], groups: int
) -> Float[Tensor, "d1 k"]:
    """Softmax weights that tell the groups ``of`` apart, each as heavy as any other."""
    hot = F.one_hot(of, groups).float()
    hot = hot / hot.sum(dim=0).clamp(min=1)
    targets = (hot / hot.sum())[None]
    return fit_softmax(with_ones(points), targets, torch.tensor([PENALTY]), steps=STEPS)[0]


def _near(points: Float[Tensor, "n d"]) -> Float[Tensor, "n w"]:
    return F.normalize(points[:, :WIDTH], dim=1)


def _smoothed(near: Float[Tensor, "n w"], graph: sparse.csr_array) -> Float[Tensor, "n w"]:
    """Each row moved towards its neighbours, several times."""
    smooth = near.numpy()
    for _ in range(SMOOTHINGS):
        smooth = (smooth + graph @ smooth) / 2
    return F.normalize(torch.from_numpy(smooth), dim=1)


def _metric(
    near: Float[Tensor, "n w"], targets: Int[Tensor, " n"], classes: int
) -> tuple[Float[Tensor, "w w"], float]:
    """The map in which known classes scatter as a sphere, and their squared radius in it."""
    rows, labels = near[targets >= 0], targets[targets >= 0]
    inside = rows - means_of(rows, labels, classes)[labels]
    freedom = max(len(rows) - classes, 1)
    scatter = inside.T @ inside / freedom
    shrinkage = max(SHRINKAGE, EVIDENCE / (EVIDENCE + len(rows)))
    sphere = scatter.diagonal().mean().clamp(min=1e-6) * torch.eye(near.shape[1])
    values, axes = torch.linalg.eigh((1 - shrinkage) * scatter + shrinkage * sphere)
    metric = axes * values.rsqrt()
    return metric, max(float((inside @ metric).square().sum()) / freedom, 1e-6)


def _balanced(
    points: Float[Tensor, "n w"],
    targets: Int[Tensor, " n"],
    of: Int[Tensor, " n"],
    classes: int,
    groups: int,
    known_share: float,
) -> tuple[Int[Tensor, " n"], Float[Tensor, "k w"], Float[Tensor, " k"]]:
    """Groups, centres and prior after rounds of soft assignments from the groups ``of``.

    The prior gives ``known_share`` to known classes. Inside either kind it follows the sizes
    found in the round before, damped, so that no group starves or swallows the others.
    """
    free = targets < 0
    soft = torch.zeros(len(points), groups)
    soft[~free] = F.one_hot(targets[~free], groups).float()
    centres = means_of(points, of, groups)
    within = float(squares(points, centres).amin(dim=1).mean())
    prior = _prior(torch.ones(groups), classes, known_share)
    for _ in range(ROUNDS if bool(free.any()) else 0):
        distances = squares(points[free], centres)
        nearness = distances.amin(dim=1, keepdim=True) - distances
        scores = torch.exp(nearness / max(SOFTNESS * within, 1e-12)).clamp(min=1e-30)
        soft[free] = _pulled(scores, prior)
        sizes = torch.bincount(soft[free].argmax(dim=1), minlength=groups).float()
        prior = _prior(sizes, classes, known_share)
        before, centres = centres, soft.T @ points / soft.sum(dim=0)[:, None].clamp(min=1e-6)
        if torch.allclose(before, centres, atol=1e-4):
            break
    return torch.where(free, soft.argmax(dim=1), targets), centres, prior


def _pulled(scores: Float[Tensor, "m k"], prior: Float[Tensor, " k"]) -> Float[Tensor, "m k"]:
    """``scores`` with columns scaled towards averages of ``prior``, and rows that sum to 1.

    A softened Sinkhorn iteration (Chizat et al. 2018, "Scaling algorithms for unbalanced
    optimal transport"): groups that lie clearly apart keep their own sizes.
    """
    soft = scores / scores.sum(dim=1, keepdim=True)
    scale = torch.ones(len(prior))
    for _ in range(10):
        scale = (prior / (scores / (scores @ scale)[:, None]).mean(dim=0).clamp(min=1e-30)) ** PULL
        soft = scores * scale
        soft = soft / soft.sum(dim=1, keepdim=True)
    return soft


def _prior(sizes: Float[Tensor, " k"], classes: int, known_share: float) -> Float[Tensor, " k"]:
    """The share of each group, from the ``sizes`` found and the share of known classes."""
    parts = [
        share * ((1 - DAMPING) * part / part.sum().clamp(min=1e-6) + DAMPING / max(len(part), 1))
        for part, share in (
            (sizes[:classes], known_share),
            (sizes[classes:], 1 - known_share),
        )
    ]
    prior = torch.cat(parts).clamp(min=1e-4)
    return prior / prior.sum()
