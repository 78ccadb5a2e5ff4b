"""How much does an image look like no known class? Scores of points; higher is less known.

Three scores ask labelled rows alone: `mean_cosine`, `energy`, `mahalanobis`. The others also look
at a pool of unlabelled rows. Where that holds many unknown ones, `spare_slots`, `pool_as_other`,
`propagated_mass`, and `taught`, which learns from the ranks of those three, are better; where it
holds few, `settled` places of the known classes are, which learn from rows that look known.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float, Int
from scipy import sparse
from torch import Tensor

from lll.methods.features.graph import spread
from lll.methods.features.softmax import fit_softmax, with_ones
from lll.methods.novel.kmeans import k_means

WIDTH = 64  # dimensions of cosines
ALPHA, SPREADS = 0.9, 20  # of the propagation: how far labels reach
SLOTS = 10  # five are needed, more are no worse
STEPS = 25  # of the solver: ranks do not change after
FEW = 500  # labelled rows under which penalties are ten times as large
PENALTY = 3e-4
SHRINKAGE = 0.5  # of the scatter within classes, towards a sphere
SHARPNESS = 8.0  # of the cosines, before their sum over classes
CONFIDENT = 0.5  # share of the pool's known and of its unknown rows that teach
KEPT = 0.9  # share of the pool's known rows that say where the known classes are
ROUNDS = 2  # of that
HALF = 60  # labels of a class from which on they weigh more than pseudo-labels
LEAST = 0.2


@dataclass(frozen=True)
class Known:
    """Rows and what is known of them: ``points`` [n, d], ``targets`` [n] of ``classes`` or -1.

    ``graph`` [n, n] as `lll.methods.features.graph.neighbour_graph` makes it, where the pool is
    looked at.
    """

    points: Float[Tensor, "n d"]
    targets: Int[Tensor, " n"]
    classes: int
    graph: sparse.csr_array | None = None
    seed: int = 0

    @property
    def labelled(self) -> Bool[Tensor, " n"]:
        """Which rows have a label."""
        return self.targets >= 0

    @property
    def penalty(self) -> float:
        """Of softmax regressions."""
        return PENALTY * (10 if int(self.labelled.sum()) < FEW else 1)


def class_means(known: Known) -> Float[Tensor, "c w"]:
    """The direction of the mean of each class's labelled rows, in the first dimensions."""
    near = F.normalize(known.points[known.labelled, :WIDTH], dim=1)
    sums = torch.zeros(known.classes, near.shape[1])
    return F.normalize(sums.index_add_(0, known.targets[known.labelled], near), dim=1)


def mean_cosine(points: Float[Tensor, "m d"], means: Float[Tensor, "c w"]) -> Tensor:
    """Minus the cosines [m] to the class means, of which the largest decides nearly alone."""
    cosines = F.normalize(points[:, : means.shape[1]], dim=1) @ means.T
    return -torch.logsumexp(SHARPNESS * cosines, dim=1)


def scatter_of(known: Known) -> tuple[Float[Tensor, "c d"], Float[Tensor, "d d"]]:
    """Class means, and the inverse of the shrunken scatter of labelled rows around them."""
    rows, labels = known.points[known.labelled], known.targets[known.labelled]
    sums = torch.zeros(known.classes, rows.shape[1]).index_add_(0, labels, rows)
    means = sums / torch.bincount(labels, minlength=known.classes).clamp(min=1)[:, None]
    inside = rows - means[labels]
    scatter = inside.T @ inside / max(len(rows) - known.classes, 1)
    sphere = scatter.diagonal().mean().clamp(min=1e-6) * torch.eye(rows.shape[1])
    return means, torch.linalg.inv((1 - SHRINKAGE) * scatter + SHRINKAGE * sphere)


def mahalanobis(
    points: Float[Tensor, "m d"], means: Float[Tensor, "c d"], inverse: Float[Tensor, "d d"]
) -> Tensor:
    """Squared distances [m] to the nearest class. Lee et al. 2018, "A simple unified framework"."""
    turned = points @ inverse
    own, theirs = (turned * points).sum(dim=1), ((means @ inverse) * means).sum(dim=1)
    return (own + (theirs - 2 * turned @ means.T).amin(dim=1)).clamp(min=0)


@dataclass(frozen=True)
class Places:
    """Where the known classes are: what `mean_cosine` and `mahalanobis` need of them.

    ``moments`` [2, 2] are means and deviations of both scores over a pool, the distance (a root)
    first.
    """

    means: Float[Tensor, "c w"]
    centres: Float[Tensor, "c d"]
    inverse: Float[Tensor, "d d"]
    moments: Float[Tensor, "2 2"]

    def score(self, points: Float[Tensor, "m d"]) -> Float[Tensor, " m"]:
        """How far ``points`` are from the classes, in deviations: the mean of both scores."""
        both = _both(points, self.means, self.centres, self.inverse)
        return ((both - self.moments[0]) / self.moments[1]).mean(dim=1)


def places_of(known: Known) -> Places:
    """The places that the labelled rows say."""
    parts = class_means(known), *scatter_of(known)
    both = _both(known.points, *parts)
    return Places(*parts, torch.stack([both.mean(dim=0), both.std(dim=0).clamp(min=1e-6)]))


def settled(known: Known, suspicion: Float[Tensor, " n"], share: float) -> Places:
    """The places that labelled rows and pseudo-labels say.

    ``share`` of the unlabelled rows are of known classes; `KEPT` of so many, those of the least
    ``suspicion``, are taken for the class that reaches them most over the graph. What comes
    out is the suspicion of the next round.
    """
    free = torch.nonzero(~known.labelled)[:, 0]
    most = max(1, int(KEPT * share * len(free)))
    classes = _reached(known, 0.99, 40).argmax(dim=1)
    places = places_of(known)
    for _ in range(ROUNDS):
        kept = free[suspicion[free].argsort()[:most]]
        targets = known.targets.clone()
        targets[kept] = classes[kept]
        places = places_of(replace(known, targets=targets))
        suspicion = places.score(known.points)
    return places


def _both(
    points: Float[Tensor, "m d"],
    means: Float[Tensor, "c w"],
    centres: Float[Tensor, "c d"],
    inverse: Float[Tensor, "d d"],
) -> Float[Tensor, "m 2"]:
    far = mahalanobis(points, centres, inverse).sqrt()
    return torch.stack([far, mean_cosine(points, means)], dim=1)


def classifier(known: Known) -> Float[Tensor, "d1 c"]:
    """Softmax weights of the known classes, from the labelled rows alone."""
    hot = _shared(F.one_hot(known.targets[known.labelled], known.classes).float())
    penalty = torch.tensor([10 * known.penalty])
    return fit_softmax(with_ones(known.points[known.labelled]), hot[None], penalty)[0]


def energy(points: Float[Tensor, "m d"], weights: Float[Tensor, "d1 c"]) -> Tensor:
    """Minus log sum exp [m] of the logits. Liu et al. 2020, "Energy-based OOD detection"."""
    return -torch.logsumexp(with_ones(points) @ weights, dim=1)


def spare_slots(known: Known) -> Float[Tensor, "d1 k"]:
    """Softmax weights of the known classes and of `SLOTS` groups of unlabelled rows."""
    near = F.normalize(known.points[:, :WIDTH], dim=1)
    of = k_means(near, known.targets, known.classes, SLOTS, known.seed, starts=1)
    teaches = known.labelled | (of >= known.classes)
    hot = F.one_hot(of, known.classes + SLOTS).float() * teaches[:, None]
    return _softmax(known, _shared(hot))


def pool_as_other(known: Known) -> Float[Tensor, "d1 k"]:
    """Softmax weights of the known classes and of all unlabelled rows as one more."""
    of = torch.where(known.labelled, known.targets, known.classes)
    return _softmax(known, _shared(F.one_hot(of, known.classes + 1).float()))


def beyond(points: Float[Tensor, "m d"], weights: Float[Tensor, "d1 k"], classes: int) -> Tensor:
    """The log odds [m] that a softmax gives to all beyond the first ``classes``."""
    logits = with_ones(points) @ weights
    return logits[:, classes:].logsumexp(dim=1) - logits[:, :classes].logsumexp(dim=1)


def propagated_mass(known: Known) -> Float[Tensor, " n"]:
    """Minus how much of the labels reaches each row over the graph of all rows."""
    return -_reached(known, ALPHA, SPREADS).sum(dim=1)


def transductive_rank(known: Known) -> Float[Tensor, " n"]:
    """The mean rank of each row by the three scores that look at the pool, in [0, 1]."""
    scores = (
        beyond(known.points, spare_slots(known), known.classes),
        beyond(known.points, pool_as_other(known), known.classes),
        propagated_mass(known),
    )
    return torch.stack([ranks(score) for score in scores]).mean(dim=0)


def taught(known: Known, share: float) -> Float[Tensor, "d1 k"]:
    """Softmax weights of the known classes and of `SLOTS` groups of rows that look unknown.

    ``share`` of the unlabelled rows are of known classes. The rows that the three scores are
    most confident of, on either side, are pseudo-labels: known ones of the class that
    reaches them most over the graph, unknown ones in groups.
    """
    free = torch.nonzero(~known.labelled)[:, 0]
    order = free[transductive_rank(known)[free].argsort()]
    inside = min(max(share, 0.05), 0.95) * len(free)
    most_known = order[: max(1, int(CONFIDENT * inside))]
    most_unknown = order[len(order) - max(1, int(CONFIDENT * (len(free) - inside))) :]
    each = int(known.labelled.sum()) / known.classes
    weight = max(LEAST, each / (each + HALF))
    hot = torch.zeros(len(known.points), known.classes + SLOTS)
    hot[known.labelled] = F.one_hot(known.targets[known.labelled], hot.shape[1]).float()
    hot[known.labelled] = weight * _shared(hot[known.labelled])
    nearest_class = _reached(known, 0.99, 40)[most_known].argmax(dim=1)
    hot[most_known] = (1 - weight) * _shared(F.one_hot(nearest_class, hot.shape[1]).float())
    hot[most_unknown] = _grouped(known, most_unknown, hot.shape[1])
    return _softmax(known, hot / 2, PENALTY)


def ranks(scores: Float[Tensor, " n"]) -> Float[Tensor, " n"]:
    """The place of each score among all, in [0, 1]."""
    return scores.argsort().argsort().float() / max(len(scores) - 1, 1)


def _grouped(known: Known, rows: Int[Tensor, " m"], width: int) -> Float[Tensor, "m k"]:
    """Targets of ``rows`` in groups by k-means, 1 in all."""
    from sklearn.cluster import KMeans

    points = known.points[rows, :WIDTH].numpy()
    groups = min(SLOTS, len(points))
    model = KMeans(groups, n_init=1, max_iter=15, random_state=known.seed % 2**32)
    of = torch.from_numpy(model.fit(points).labels_).long()
    return F.one_hot(known.classes + of, width).float() / len(rows)


def _reached(known: Known, alpha: float, steps: int) -> Float[Tensor, "n c"]:
    """How much of each class reaches each row."""
    hot = F.one_hot(known.targets.clamp(min=0), known.classes).float()
    hot = hot * known.labelled[:, None]
    seeds = hot / hot.sum(dim=0).clamp(min=1)
    assert known.graph is not None
    reached = torch.from_numpy(spread(known.graph, seeds.numpy(), alpha, steps))
    return reached / reached.sum(dim=0).clamp(min=1e-30) if alpha > ALPHA else reached


def _shared(hot: Float[Tensor, "n k"]) -> Float[Tensor, "n k"]:
    """``hot`` with the same sum in each column that has any, 1 in all."""
    sums = hot.sum(dim=0)
    return hot / sums.clamp(min=1) / max(int((sums > 0).sum()), 1)


def _softmax(
    known: Known, targets: Float[Tensor, "n k"], penalty: float = math.nan
) -> Float[Tensor, "d1 k"]:
    some = targets.sum(dim=1) > 0
    penalties = torch.tensor([known.penalty if math.isnan(penalty) else penalty])
    points = with_ones(known.points[some])
    return fit_softmax(points, targets[some][None], penalties, steps=STEPS)[0]
