"""How much does an image look like no known class? Scores of points; higher is less known.

Three scores ask labelled rows alone: `mean_cosine`, `energy`, `mahalanobis`; so does `foreign`,
which also knows the classes that a pretrained encoder was taught. The others look at a pool of
unlabelled rows. Where that holds many unknown ones, `spare_slots`, `pool_as_other`,
`propagated_mass`, and `taught`, which learns from the ranks of those three, are better; where it
holds few, `settled` places of the known classes are, which learn from rows that look known.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field, replace

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
OTHERS = 20  # of an encoder's own classes that an image is compared with
TOGETHER = (
    0.5,
    0.75,
)  # how alike images may be in a scene that tells all, and one that tells nothing


@dataclass(frozen=True)
class Known:
    """Rows and what is known of them: ``points`` [n, d], ``targets`` [n] of ``classes`` or -1.

    ``graph`` [n, n] as `lll.methods.features.graph.neighbour_graph` makes it, where the pool is
    looked at. ``scene`` [n, s] are directions of the rows among ``others`` [k, s], those of the
    encoder's own classes, and ``worth`` what that tells, in [0, 1]; s = 0 where nothing is known.
    """

    points: Float[Tensor, "n d"]
    targets: Int[Tensor, " n"]
    classes: int
    graph: sparse.csr_array | None = None
    seed: int = 0
    scene: Float[Tensor, "n s"] = field(default_factory=lambda: torch.zeros(0, 0))
    others: Float[Tensor, "k s"] = field(default_factory=lambda: torch.zeros(0, 0))
    worth: float = 0.0

    @property
    def labelled(self) -> Bool[Tensor, " n"]:
        """Which rows have a label."""
        return self.targets >= 0

    @property
    def looks(self) -> Float[Tensor, "n ds"]:
        """Points, and beside them the scene, where that tells something."""
        return torch.cat([self.points, self.scene], dim=1) if self.worth else self.points

    @property
    def penalty(self) -> float:
        """Of softmax regressions."""
        return PENALTY * (10 if int(self.labelled.sum()) < FEW else 1)


def class_means(known: Known) -> Float[Tensor, "c w"]:
    """The direction of the mean of each class's labelled rows, in the first dimensions."""
    return mean_directions(known, F.normalize(known.points[:, :WIDTH], dim=1))


def mean_directions(known: Known, rows: Float[Tensor, "n w"]) -> Float[Tensor, "c w"]:
    """The direction of the mean of each class's labelled ``rows``."""
    sums = torch.zeros(known.classes, rows.shape[1])
    sums.index_add_(0, known.targets[known.labelled], rows[known.labelled])
    return F.normalize(sums, dim=1)


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
    points = F.normalize(points, dim=1)  # an image outside the pool may be shorter
    turned = points @ inverse
    own, theirs = (turned * points).sum(dim=1), ((means @ inverse) * means).sum(dim=1)
    return (own + (theirs - 2 * turned @ means.T).amin(dim=1)).clamp(min=0)


def foreign(
    scene: Float[Tensor, "m s"], means: Float[Tensor, "c s"], others: Float[Tensor, "k s"]
) -> Float[Tensor, " m"]:
    """How much more like an encoder's own classes than like a known one each image is.

    The mean of the `OTHERS` largest cosines to ``others``, each less its cosine to the known class
    that is most like it, and less the largest to the ``means`` of known classes. So no image of an
    unknown class has to be in the pool. Ours; related: Ming et al. 2022, "Delving into
    out-of-distribution detection with vision-language representations", where names play that part.
    """
    beside = (means @ others.T).amax(dim=0)
    most = min(OTHERS, len(others))
    away = (scene @ others.T - beside).topk(most, dim=1).values.mean(dim=1)
    return away - (scene @ means.T).amax(dim=1)


def telling(scene: Float[Tensor, "n s"]) -> float:
    """How much `foreign` is worth, in [0, 1]: nothing where all images lie in one direction.

    Pictures such as digits are all one to an encoder of photos. By the length of the mean of their
    directions (Mardia and Jupp 2000, "Directional statistics").
    """
    full, none = TOGETHER
    alike = float(scene.mean(dim=0).norm())
    return min(max((none - alike) / (none - full), 0.0), 1.0)


@dataclass(frozen=True)
class Places:
    """Where the known classes are: what `mean_cosine`, `mahalanobis` and `foreign` need of them.

    ``moments`` [2, 3] are means and deviations of the scores over a pool, the distance (a root)
    first. ``others`` are as in `Known`, ``there`` the ``means`` in the scene, and ``worth`` as
    `telling` says; without a scene they are empty and 0.
    """

    means: Float[Tensor, "c w"]
    centres: Float[Tensor, "c d"]
    inverse: Float[Tensor, "d d"]
    there: Float[Tensor, "c s"]
    others: Float[Tensor, "k s"]
    worth: float
    moments: Float[Tensor, "2 _"]

    def score(self, looks: Float[Tensor, "m ds"]) -> Float[Tensor, " m"]:
        """How far images are from the classes, in deviations: a mean of the scores."""
        deviations = self._deviations(looks)
        near = deviations[:, :2].mean(dim=1)
        return (near + self.worth * deviations[:, 2]) / (1 + self.worth)

    def foreign(self, looks: Float[Tensor, "m ds"]) -> Float[Tensor, " m"]:
        """`foreign` alone, in deviations; 0 without a scene."""
        return self._deviations(looks)[:, 2]

    def _deviations(self, looks: Float[Tensor, "m ds"]) -> Float[Tensor, "m 3"]:
        return (self.raw(looks) - self.moments[0]) / self.moments[1]

    def raw(self, looks: Float[Tensor, "m ds"]) -> Float[Tensor, "m 3"]:
        """The three scores of points [m, d], beside which those of the scene stand."""
        points, scene = looks[:, : len(self.inverse)], looks[:, len(self.inverse) :]
        far = mahalanobis(points, self.centres, self.inverse).sqrt()
        away = torch.zeros(len(looks))
        if self.worth:
            away = foreign(scene, self.there, self.others)
        return torch.stack([far, mean_cosine(points, self.means), away], dim=1)


def places_of(known: Known) -> Places:
    """The places that the labelled rows say."""
    there = mean_directions(known, known.scene) if known.worth else known.others[:0]
    others, plain = known.others if known.worth else there, torch.tensor([[0.0], [1.0]])
    parts = class_means(known), *scatter_of(known), there, others, known.worth
    raw = Places(*parts, plain).raw(known.looks)
    return Places(*parts, torch.stack([raw.mean(dim=0), raw.std(dim=0).clamp(min=1e-6)]))


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
        suspicion = places.score(known.looks)
    return places


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
