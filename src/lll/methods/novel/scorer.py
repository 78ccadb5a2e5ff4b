"""The unknown score of a fitted classifier: chosen, calibrated, and kept with it as buffers."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float, Int
from scipy import sparse
from torch import Tensor, nn

from lll.methods.features.graph import neighbour_graph
from lll.methods.features.softmax import fit_softmax, with_ones
from lll.methods.novel import unknown as u
from lll.methods.novel.number import known_shares
from lll.methods.novel.quantiles import Quantiles
from lll.nets.buffers import take_shapes

LABELLED, POOL = 4000, 10_000  # rows at most that a score is fitted to
FOLD_LABELLED, FOLD_POOL = 1500, 2500  # and where a class is left out
FOLDS = 4  # classes at most that are left out in turn
ENOUGH = 50  # unlabelled rows from which on the share of known ones is estimated
SEEN = 0.25  # how much `u.foreign` counts beside what the pool taught
MIXED = 0.25  # share of unknown rows in the pool from which on `u.taught` alone answers
BUFFERS = (
    "means", "centres", "inverse", "moments", "beyond", "scale", "line", "there", "others", "worth"
)  # fmt: skip


@dataclass(frozen=True)
class Task:
    """Points [n, d] and targets [n] of ``classes`` or -1, of which ``share`` are known.

    ``graph`` is that of the points, if it was made before; the rest is as in `u.Known`.
    """

    points: Float[Tensor, "n d"]
    targets: Int[Tensor, " n"]
    classes: int
    share: float
    seed: int
    scene: Float[Tensor, "n s"]
    others: Float[Tensor, "k s"]
    worth: float
    graph: sparse.csr_array | None = None

    @property
    def known(self) -> u.Known:
        """What the scores look at."""
        return u.Known(
            self.points, self.targets, self.classes, self.graph, self.seed,
            self.scene, self.others, self.worth,
        )  # fmt: skip


class Unknown(nn.Module):
    """The probability that an image is of no known class; nothing that predicting changes.

    Where the pool of unlabelled images holds many unknown ones it is that of `u.taught`, where
    it holds none that of `u.settled` places, and in between a mixture. Without a pool the labelled
    rows alone say the places. What the encoder tells of its own classes counts on either side.
    Calibrated with one known class left out in turn: at 0.5 as many
    of known as of unknown images would be wrong, were there as many of either.
    """

    LIMIT = 0.5
    PROBABILITY = True

    means: Tensor
    centres: Tensor
    inverse: Tensor
    moments: Tensor
    beyond: Tensor
    scale: Tensor
    line: Tensor
    there: Tensor
    others: Tensor
    worth: Tensor

    def __init__(self) -> None:
        super().__init__()
        for name in BUFFERS:
            self.register_buffer(name, torch.zeros(0))

    @property
    def fitted(self) -> bool:
        """Whether it has been fitted, by this version."""
        return bool(len(self.line)) and bool(len(self.scale)) == bool(len(self.beyond))

    def forward(self, looks: Float[Tensor, "m d"]) -> Float[Tensor, " m"]:
        """The probability of each image from its points and scene, such as it was fitted to."""
        return torch.sigmoid(self.line[0] * self.raw(looks) + self.line[1])

    def of(
        self, encodings: Float[Tensor, "m d"], probabilities: Float[Tensor, "m c"]
    ) -> Float[Tensor, " m"]:
        """The probability of each image, from the encodings alone: they begin with its looks."""
        found: Tensor = self(encodings.to(self.line))
        return found

    def raw(self, looks: Float[Tensor, "m d"]) -> Float[Tensor, " m"]:
        """The score before calibration."""
        worth = float(self.worth) if len(self.others) else 0.0
        wide = len(self.inverse)
        looks = looks[:, : wide + (self.others.shape[1] if worth else 0)]
        places = u.Places(
            self.means, self.centres, self.inverse, self.there, self.others, worth, self.moments
        )
        if not len(self.beyond):
            return places.score(looks)
        mean, deviation, weight = self.scale
        beyond = (u.beyond(looks[:, :wide], self.beyond, len(self.means)) - mean) / deviation
        seen = SEEN * worth
        if seen:
            beyond = (beyond + seen * places.foreign(looks)) / (1 + seen)
        mixed: Tensor = (1 - weight) * places.score(looks) + weight * beyond
        return mixed

    def fit(
        self,
        looks: Tensor,
        targets: Tensor,
        classes: int,
        seed: int,
        others: Tensor | None = None,
    ) -> float:
        """Fit to ``looks`` [n, d + s] and ``targets`` [n]; the share of known images it estimates.

        They are points, and beside them the scene of ``others`` [k, s], if there is one.
        """
        others = torch.zeros(0, 0) if others is None else others
        points, scene = looks.tensor_split([looks.shape[1] - others.shape[1]], dim=1)
        worth = u.telling(scene) if len(others) else 0.0
        at = _some(targets, LABELLED, POOL, seed)
        points, targets, scene = points[at], targets[at], scene[at]
        free = int((targets < 0).sum())
        share = 1.0
        if free >= ENOUGH:
            share = float(known_shares(points, targets, classes, seed).median())
        task = Task(points, targets, classes, share, seed, scene, others, worth)
        weight = min((1 - share) / MIXED, 1.0)
        self._fit_score(task, weight)
        self.line = _line(task, weight, self.raw(task.known.looks))
        return share

    def _fit_score(self, task: Task, weight: float) -> None:
        known = task.known
        places, self.beyond, self.scale = u.places_of(known), torch.zeros(0), torch.zeros(0)
        if int((~known.labelled).sum()) >= ENOUGH:
            if known.graph is None:
                known = replace(known, graph=neighbour_graph(task.points[:, : u.WIDTH]))
            suspicion = places.score(known.looks)
            if weight:
                self.beyond = u.taught(known, task.share)
                suspicion = u.beyond(task.points, self.beyond, task.classes)
                moments = suspicion.mean(), suspicion.std().clamp(min=1e-6)
                self.scale = torch.stack([*moments, torch.tensor(weight)])
            places = u.settled(known, suspicion, task.share)
        self.means, self.centres, self.inverse = places.means, places.centres, places.inverse
        self.moments, self.there, self.others = places.moments, places.there, places.others
        self.worth = torch.tensor([places.worth])

    def _load_from_state_dict(self, state: dict[str, Any], prefix: str, *rest: Any) -> None:
        take_shapes(self, BUFFERS, state, prefix)
        super()._load_from_state_dict(state, prefix, *rest)


def unknown_of(parts: Mapping[str, nn.Module]) -> Unknown | Quantiles | None:
    """The fitted score among the ``parts`` of a learner; None in runs of earlier versions."""
    found = parts.get("unknown")
    return found if isinstance(found, Unknown | Quantiles) and found.fitted else None


def _line(task: Task, weight: float, raw: Float[Tensor, " n"]) -> Float[Tensor, " 2"]:
    """Slope and offset from the raw score to log odds, by leaving out one class in turn.

    Platt 1999, with both sides of the same weight. With too few classes or labels for that, the
    estimated share of known images says where the threshold is.
    """
    folds = _folds(task)
    few = _few(task) if folds else task
    scores = [_left_out(few, c, weight) for c in folds]
    if not scores:
        threshold = raw.quantile(min(task.share, 0.99))
        slope = 2 / raw.std().clamp(min=1e-6)
        return torch.stack([slope, -slope * threshold])
    inside, outside = (torch.cat(side) for side in zip(*scores, strict=True))
    sides = torch.cat([torch.zeros(len(inside)), torch.ones(len(outside))]).long()
    hot = F.one_hot(sides, 2).float()
    rows = with_ones(torch.cat([inside, outside])[:, None])
    weights = fit_softmax(rows, (hot / hot.sum(dim=0) / 2)[None], torch.tensor([1e-3]))[0]
    line: Tensor = weights.diff(dim=1)[:, 0]
    return torch.stack([line[0].clamp(min=1e-3), line[1]])


def _folds(task: Task) -> list[int]:
    """Classes to leave out: none where fewer than two would stay, or labels are too few."""
    counts = torch.bincount(task.targets[task.targets >= 0], minlength=task.classes)
    if task.classes < 3 or int(counts.min()) < 2:
        return []
    order = torch.randperm(task.classes, generator=torch.Generator().manual_seed(task.seed))
    return order[:FOLDS].tolist()


def _few(task: Task) -> Task:
    """The rows that all fits without a class have in common, and their graph."""
    at = _some(task.targets, FOLD_LABELLED, FOLD_POOL, task.seed)
    points, targets, scene = task.points[at], task.targets[at], task.scene[at]
    graph = neighbour_graph(points[:, : u.WIDTH]) if int((targets < 0).sum()) else None
    return replace(task, points=points, targets=targets, scene=scene, graph=graph)


def _left_out(task: Task, left: int, weight: float) -> tuple[Tensor, Tensor]:
    """Raw scores of labelled rows that a fit without class ``left`` does not know as such.

    First of the other classes, half of whose labels are hidden for it, then of ``left``.
    """
    truth = task.targets
    hidden = _half(truth, task.seed)
    seen = torch.where(hidden | (truth == left), -1, truth)
    seen = torch.where(seen > left, seen - 1, seen)
    inside = hidden & (truth != left)
    free = int((truth < 0).sum())
    known = task.share * free * (1 - 1 / task.classes) + int(inside.sum())
    share = known / max(int((seen < 0).sum()), 1)
    score = Unknown()
    score._fit_score(replace(task, targets=seen, classes=task.classes - 1, share=share), weight)
    raw = score.raw(task.known.looks)
    return raw[inside], raw[truth == left]


def _half(truth: Int[Tensor, " n"], seed: int) -> Bool[Tensor, " n"]:
    """Which labelled rows to hide: half of each class, rounded down."""
    generator = torch.Generator().manual_seed(seed)
    hidden = torch.zeros(len(truth), dtype=torch.bool)
    for c in range(int(truth.max()) + 1):
        at = torch.nonzero(truth == c)[:, 0]
        hidden[at[torch.randperm(len(at), generator=generator)[: len(at) // 2]]] = True
    return hidden


def _some(targets: Int[Tensor, " n"], labelled: int, pool: int, seed: int) -> Int[Tensor, " m"]:
    """Rows in order: so many labelled ones at most, each class's share, and unlabelled ones."""
    generator = torch.Generator().manual_seed(seed)
    parts = []
    counts = torch.bincount(targets[targets >= 0])
    quota = labelled / max(int(counts.sum()), 1)
    for c in range(-1, len(counts)):
        at = torch.nonzero(targets == c)[:, 0]
        most = pool if c < 0 else max(2, int(quota * len(at)))
        parts.append(at[torch.randperm(len(at), generator=generator)[:most]])
    return torch.cat(parts).sort().values
