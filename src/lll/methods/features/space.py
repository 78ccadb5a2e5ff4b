"""What all fits on the same features share and no label changes: points and their graph."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import torch
import torch.nn.functional as F
from jaxtyping import Float
from scipy import sparse
from torch import Tensor, nn

from lll.errors import UserError
from lll.methods.features.graph import neighbour_graph

WIDTH = 128  # dimensions that a classifier sees
GRAPH_WIDTH = 64  # dimensions that neighbours are sought in
WHITENED = 512  # dimensions in which views of the same image are compared
SHRINKAGE = 0.1  # of their scatter, towards a sphere
SAMPLE = 10_000  # rows at most that the basis is made from; more change nothing that matters
CHUNK = 8192  # rows brought to float32 at a time


class Transform(nn.Module):
    """Features [m, d] to points [m, k] of length 1: root, L2, centre, basis, L2.

    The root (``power`` 0.5; 1 where some feature is negative) makes the long tails of ReLU
    features shorter, as in few-shot learning (Hu et al. 2021, "Leveraging the feature
    distribution in transfer-based few-shot learning").
    """

    power: Tensor
    mean: Tensor
    basis: Tensor

    def __init__(self, features: int) -> None:
        super().__init__()
        self.register_buffer("power", torch.ones(()))
        self.register_buffer("mean", torch.zeros(features))
        self.register_buffer("basis", torch.zeros(features, min(WIDTH, features)))

    def forward(self, features: Float[Tensor, "m d"]) -> Float[Tensor, "m k"]:
        """Points of length 1."""
        return self.points(direction(features, self.power))

    def points(self, directions: Float[Tensor, "m d"]) -> Float[Tensor, "m k"]:
        """The same from what `direction` gave, or from its mean over views."""
        return F.normalize((directions - self.mean) @ self.basis, dim=1)


@dataclass(frozen=True)
class Space:
    """The points [n, k] of a set of features, and their graph once somebody asks for it."""

    transform: Transform
    points: Float[Tensor, "n k"]

    @cached_property
    def graph(self) -> sparse.csr_array:
        """The normalised graph of nearest neighbours [n, n]."""
        return neighbour_graph(self.points[:, :GRAPH_WIDTH])


def direction(features: Tensor, power: Tensor) -> Float[Tensor, "m d"]:
    """``features`` [m, d] as float32 to the ``power``, signs kept, and of length 1."""
    wide = features.float()
    return F.normalize(wide.sign() * wide.abs().pow(power), dim=1)


def fit_space(features: Tensor, views: Sequence[Tensor] = ()) -> Space:
    """The space of ``features`` [n, d]; nothing in it depends on a label.

    ``views`` are features [n, d] of augmented views of the same images. What differs between
    views of an image says nothing about its class, so directions in which they scatter are
    made short (whitened) before the principal components are taken; without views the basis
    is that of the principal components alone. It is made from at most `SAMPLE` rows, evenly
    spread. Points are those of the mean of all views. Raises UserError for fewer than 2 rows,
    and for NaN or infinity.
    """
    seen = (features, *views)
    for view in seen:
        _check(view, len(features))
    transform = Transform(features.shape[1])
    if all(bool((view >= 0).all()) for view in seen):
        transform.power.fill_(0.5)
    some = torch.linspace(0, len(features) - 1, min(SAMPLE, len(features))).long()
    sample = torch.stack([direction(view[some], transform.power) for view in seen])
    transform.mean.copy_(sample.mean(dim=(0, 1)))
    transform.basis.copy_(_basis(sample, transform.mean))
    chunks = zip(*(torch.split(view, CHUNK) for view in seen), strict=True)
    points = [transform.points(_mean_direction(chunk, transform.power)) for chunk in chunks]
    return Space(transform, torch.cat(points))


def _mean_direction(views: Sequence[Tensor], power: Tensor) -> Float[Tensor, "m d"]:
    return torch.stack([direction(view, power) for view in views]).mean(dim=0)


def _basis(sample: Float[Tensor, "v s d"], mean: Float[Tensor, " d"]) -> Float[Tensor, "d k"]:
    """The axes of the space, from directions of the views of some rows and their ``mean``."""
    centred = sample.mean(dim=0) - mean
    basis = _components(centred, WHITENED)
    if len(sample) > 1:
        scatter = (sample - sample.mean(dim=0)).flatten(0, 1) @ basis
        basis = basis @ _whitening(scatter)
        basis = basis @ _components(F.normalize(centred @ basis, dim=1), WIDTH)
    return basis[:, :WIDTH]


def _components(rows: Float[Tensor, "n d"], width: int) -> Float[Tensor, "d k"]:
    """The first ``width`` principal axes of centred ``rows``, largest first, signs fixed."""
    axes: Tensor = torch.linalg.eigh(rows.T @ rows).eigenvectors.flip(1)[:, :width]
    return axes * axes.gather(0, axes.abs().argmax(dim=0, keepdim=True)).sign()


def _whitening(rows: Float[Tensor, "n k"]) -> Float[Tensor, "k k"]:
    """The map that makes the shrunken scatter of ``rows`` a sphere."""
    scatter = rows.T @ rows / len(rows)
    sphere = scatter.diagonal().mean().clamp(min=1e-12) * torch.eye(len(scatter))
    found = torch.linalg.eigh((1 - SHRINKAGE) * scatter + SHRINKAGE * sphere)
    sphering: Tensor = found.eigenvectors * found.eigenvalues.rsqrt()
    return sphering


def _check(features: Tensor, rows: int) -> None:
    """UserError unless ``features`` is [rows, d], two rows or more, and finite."""
    if features.dim() != 2 or len(features) != rows or rows < 2:
        raise UserError(f"one image is too few to learn from: there are {len(features)}")
    bad = int((~torch.isfinite(features)).any(dim=1).sum())
    if bad:
        raise UserError(f"{bad} of {rows} rows of features hold NaN or infinity: encode them anew")
