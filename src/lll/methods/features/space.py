"""What all fits on the same features share and no label changes: points and their graph."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import torch
import torch.nn.functional as F
from jaxtyping import Float
from scipy import linalg, sparse
from torch import Tensor, nn

from lll.errors import UserError
from lll.methods.features.graph import neighbour_graph
from lll.nets.buffers import take_shapes
from lll.nets.encoders.encoder import Pretraining

WIDTH = 192  # dimensions that a classifier sees
GRAPH_WIDTH = 64  # dimensions that neighbours are sought in
WHITENED = 512  # dimensions in which views of the same image are compared
SPHERE = 4000  # images that the belief in a sphere counts as, where views scatter
SAMPLE = 10_000  # rows at most that the basis is made from; more change nothing that matters
RANK = 1e-9  # of the largest eigenvalue: what is below it is rounding
CHUNK = 8192  # rows brought to float32 at a time


class Part(nn.Module):
    """Features [m, d] to points [m, k] of length 1 at most: root, L2, centre, basis, L2.

    The root (``power`` 0.5; 1 where some feature is negative) makes the long tails of ReLU
    features shorter, as in few-shot learning (Hu et al. 2021, "Leveraging the feature
    distribution in transfer-based few-shot learning").

    Few images span few axes. What another image has beyond them counts in its length, or it would
    look surer than it is: its point is shorter than 1 where a smaller share of it lies on the axes
    than of any image that made them (``reach``). Of many images some share is small.
    """

    power: Tensor
    mean: Tensor
    basis: Tensor
    reach: Tensor

    def __init__(self, features: int, width: int = WIDTH) -> None:
        super().__init__()
        self.register_buffer("power", torch.ones(()))
        self.register_buffer("mean", torch.zeros(features))
        self.register_buffer("basis", torch.zeros(features, min(width, features)))
        self.register_buffer("reach", torch.zeros(()))

    def forward(self, features: Float[Tensor, "m d"]) -> Float[Tensor, "m k"]:
        """Points of length 1 at most."""
        centred = direction(features, self.power) - self.mean
        points = centred @ self.basis
        whole: Tensor = self.reach * centred.norm(dim=1, keepdim=True)
        return points / whole.maximum(points.norm(dim=1, keepdim=True)).clamp(min=1e-12)

    def _load_from_state_dict(self, state: dict[str, Any], prefix: str, *rest: Any) -> None:
        take_shapes(self, ("reach",), state, prefix)
        super()._load_from_state_dict(state, prefix, *rest)


class Transform(nn.Module):
    """Features [m, d] to encodings: points ``near`` [m, j], ``scene`` [m, s] and ``wide`` [m, k].

    ``near`` points are those of the ``last`` first features, of the encoder's last layer, in which
    neighbours are sought and unknown images are told apart. ``wide`` ones are those of all
    features, which tell a classifier more. Both are one where there is the last layer alone.
    ``scene`` points say where an image lies among the encoder's own classes, whose places are
    ``others`` [c, s]; there are none (s = 0) where nothing is known of its pretraining.
    """

    others: Tensor

    def __init__(self, features: int, last: int | None = None) -> None:
        super().__init__()
        self.last = features if last is None else min(last, features)
        self.near = Part(self.last)
        self.scene = Part(self.last, 0)
        self.wide = Part(features) if features > self.last else None
        self.width: int = (self.wide or self.near).basis.shape[1]
        self.register_buffer("others", torch.zeros(0, 0))

    def forward(self, features: Float[Tensor, "m d"]) -> Float[Tensor, "m p"]:
        """Near points, then those of the scene, and then the wide ones where these are others."""
        last = features[:, : self.last]
        wide = [] if self.wide is None else [self.wide(features)]
        return torch.cat([self.near(last), self.scene(last), *wide], dim=1)

    def points_of(self, encodings: Float[Tensor, "m p"]) -> Float[Tensor, "m k"]:
        """The points to classify."""
        return encodings[:, : self.width] if self.wide is None else encodings[:, -self.width :]

    def _load_from_state_dict(self, state: dict[str, Any], prefix: str, *rest: Any) -> None:
        # As wide a scene as was saved; runs of earlier versions have none.
        take_shapes(self, ("others",), state, prefix)
        take_shapes(self.scene, ("power", "mean", "basis"), state, f"{prefix}scene.")
        super()._load_from_state_dict(state, prefix, *rest)


@dataclass(frozen=True)
class Space:
    """The encodings [n, p] of a set of features, and their graph once somebody asks for it."""

    transform: Transform
    encodings: Float[Tensor, "n p"]

    @property
    def near(self) -> Float[Tensor, "n j"]:
        """Points to compare images by."""
        return self.encodings[:, : self.transform.near.basis.shape[1]]

    @property
    def looks(self) -> Float[Tensor, "n js"]:
        """Those points, and then those of the scene: what the unknown score looks at."""
        scene = self.transform.scene.basis.shape[1]
        return self.encodings[:, : self.near.shape[1] + scene]

    @property
    def points(self) -> Float[Tensor, "n k"]:
        """Points to classify."""
        return self.transform.points_of(self.encodings)

    def of(self, features: Float[Tensor, "m d"]) -> Space:
        """Where other ``features`` lie."""
        return Space(self.transform, self.transform(features))

    @cached_property
    def graph(self) -> sparse.csr_array:
        """The normalised graph of nearest neighbours [n, n]."""
        return neighbour_graph(self.near[:, :GRAPH_WIDTH])


def direction(features: Tensor, power: Tensor) -> Float[Tensor, "m d"]:
    """``features`` [m, d] as float32 to the ``power``, signs kept, and of length 1."""
    wide = features.float()
    return F.normalize(wide.sign() * wide.abs().pow(power), dim=1)


def fit_space(
    features: Float[Tensor, "n d"],
    views: Float[Tensor, "v m d"],
    last: int | None = None,
    pretraining: Pretraining | None = None,
) -> Space:
    """The space of ``features``, the first ``last`` of which (None: all) are of the last layer.

    Nothing in it depends on a label. ``pretraining`` gives it a scene.

    ``views`` are features of some of the images, as they are and then augmented. What differs
    between views of an image says nothing about its class, so directions in which they scatter
    are made short (whitened) before the principal components are taken; with ``v`` = 1 the
    basis is that of the principal components alone. `SAMPLE` images at most are looked at.
    Raises UserError for fewer than 2 rows, and for NaN or infinity.
    """
    _check(features)
    transform = Transform(features.shape[1], last)
    power = 1.0 if bool((features < 0).any() or (views < 0).any()) else 0.5
    some = torch.linspace(0, views.shape[1] - 1, min(SAMPLE, views.shape[1])).long()
    _fit(transform.near, views[:, some, : transform.last], power)
    if transform.wide is not None:
        _fit(transform.wide, views[:, some], power)
    if pretraining is not None:
        _fill_scene(transform, pretraining)
    return Space(transform, torch.cat([transform(part) for part in torch.split(features, CHUNK)]))


def _fit(part: Part, views: Float[Tensor, "v s d"], power: float) -> None:
    part.power.fill_(power)
    sample = torch.stack([direction(view, part.power) for view in views])
    part.mean.copy_(sample[0].mean(dim=0))
    found = _basis(sample, part.mean)
    part.basis.zero_()[:, : found.shape[1]] = found
    centred = sample[0] - part.mean
    shares = (centred @ found).norm(dim=1) / centred.norm(dim=1).clamp(min=1e-12)
    part.reach.copy_(shares.min())


def _fill_scene(transform: Transform, pretraining: Pretraining) -> None:
    """The axes along which the encoder's own classes differ most, from where they all meet.

    No image of the folder moves them but by the length of their mean direction.
    """
    scene, near = transform.scene, transform.near
    scene.power.copy_(near.power)
    scene.mean.copy_(direction(pretraining.mean[None], near.power)[0] * near.mean.norm())
    scene.basis = pretraining.axes.clone()
    transform.others = F.normalize(pretraining.classes @ scene.basis, dim=1)


def _basis(sample: Float[Tensor, "v s d"], mean: Float[Tensor, " d"]) -> Float[Tensor, "d k"]:
    """The axes of the space, from directions of the views of some images and their ``mean``."""
    centred = sample[0] - mean
    basis = components(centred, WHITENED)
    if len(sample) > 1:
        deviations = (sample - sample.mean(dim=0)).flatten(0, 1)
        basis = basis @ _whitening(deviations @ basis, len(centred))
        basis = basis @ components(F.normalize(centred @ basis, dim=1), WIDTH)
    return basis[:, :WIDTH]


def components(rows: Float[Tensor, "n d"], width: int) -> Float[Tensor, "d k"]:
    """The first ``width`` principal axes of centred ``rows``, largest first, signs fixed.

    Of those that the rows span, and one at least.
    """
    # In float64: of few different images nearly all eigenvalues are 0, and float32 gives up there.
    few, exact = len(rows) < rows.shape[1], rows.double()
    scatter = (exact @ exact.T if few else (rows.T @ rows).double()).numpy()
    # The wanted ones alone take half the time of all.
    largest = [max(len(scatter) - width, 0), len(scatter) - 1]
    values, found = linalg.eigh(scatter, subset_by_index=largest, check_finite=False)
    spanned = max(int((values > RANK * values[-1]).sum()), 1)
    axes = torch.from_numpy(found).flip(1)[:, :spanned]
    axes = (F.normalize(exact.T @ axes, dim=0) if few else axes).to(rows)
    return axes * axes.gather(0, axes.abs().argmax(dim=0, keepdim=True)).sign()


def _whitening(rows: Float[Tensor, "n k"], images: int) -> Float[Tensor, "k k"]:
    """The map that makes the shrunken scatter of ``rows``, views of so many ``images``, a sphere.

    The fewer images, the less it does: each says in which directions views differ, but those of
    few images lie across the few directions in which the images themselves differ.
    """
    scatter = rows.T @ rows / len(rows)
    sphere = scatter.diagonal().mean().clamp(min=1e-12) * torch.eye(len(scatter))
    found = torch.linalg.eigh((images * scatter + SPHERE * sphere) / (images + SPHERE))
    sphering: Tensor = found.eigenvectors * found.eigenvalues.rsqrt()
    return sphering


def _check(features: Tensor) -> None:
    """UserError unless ``features`` [n, d] are two rows or more, and finite."""
    if len(features) < 2:
        raise UserError("one image is too few to learn from: add some")
    bad = int((~torch.isfinite(features)).any(dim=1).sum())
    if bad:
        raise UserError(
            f"{bad} of {len(features)} rows of features hold NaN or infinity: encode them anew"
        )
