"""Scores from likeness to single labelled points, where a plane between classes is too stiff."""

from __future__ import annotations

from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

RIDGE = 0.3  # towards no answer, for a class of the average number of labels
MOST = 4000  # centres at most: time to fit grows with their cube
BLOCK = 1024  # points whose likeness to all centres is held at a time


class Kernel(nn.Module):
    """Points [n, k] to scores [n, c]: the weights of the centres, by likeness to each.

    ``centres`` [m, k] are points of length 1, ``weights`` [m, c] those of each for each class;
    fitted with the classifier, and none in one that is linear.
    """

    centres: Tensor
    weights: Tensor

    def __init__(self, width: int, classes: int) -> None:
        super().__init__()
        self.register_buffer("centres", torch.zeros(0, width))
        self.register_buffer("weights", torch.zeros(0, classes))

    def forward(self, points: Float[Tensor, "n k"]) -> Float[Tensor, "n c"]:
        """Scores, to be added to those of a linear classifier."""
        # Whole, unlike `spoken`: an exported graph is of any number of points.
        return likeness(points, self.centres) @ self.weights

    def grow(self, classes: int) -> None:
        """Have ``classes`` classes; no centre speaks for the new ones yet."""
        more = self.weights.new_zeros(len(self.weights), max(classes - self.weights.shape[1], 0))
        self.weights = torch.cat([self.weights, more], dim=1)

    def _load_from_state_dict(self, state: dict[str, Any], prefix: str, *rest: Any) -> None:
        # As many centres as were saved; runs of earlier versions have none.
        for name in ("centres", "weights"):
            here: Tensor = getattr(self, name)
            saved = state.setdefault(f"{prefix}{name}", here[:0])
            setattr(self, name, here.new_empty(len(saved), *here.shape[1:]))
        super()._load_from_state_dict(state, prefix, *rest)


def likeness(points: Float[Tensor, "n k"], centres: Float[Tensor, "m k"]) -> Float[Tensor, "n m"]:
    """exp(-|x - y|²) of points x and y of length 1: a Gaussian kernel."""
    return (2 * (points @ centres.T - 1)).exp()


def spoken(
    points: Float[Tensor, "n k"], centres: Float[Tensor, "m k"], weights: Float[Tensor, "m c"]
) -> Float[Tensor, "n c"]:
    """What the ``centres`` say of ``points``: their ``weights`` by likeness.

    A few points at a time: [n, m] of many of both would be gigabytes, and slower.
    """
    parts = [likeness(some, centres) @ weights for some in torch.split(points, BLOCK)]
    return torch.cat(parts)


def fit_kernel(
    points: Float[Tensor, "n k"], labels: Int[Tensor, " n"], classes: int
) -> Float[Tensor, "n c"]:
    """Weights of ``points`` as centres, which explain their ``labels`` in least squares.

    Kernel ridge regression (Saunders et al. 1998, "Ridge regression learning algorithm in dual
    variables") of one-hot targets around their mean of 1 / c. A row counts by how few labels
    its class has, so that all classes weigh the same.
    """
    counts = torch.bincount(labels, minlength=classes).float()
    targets = nn.functional.one_hot(labels, classes).float() - 1 / classes
    system = likeness(points, points)
    system.diagonal().add_(RIDGE * counts[labels] / counts[counts > 0].mean())
    found: Tensor = torch.cholesky_solve(targets, torch.linalg.cholesky(system))
    return found


def some_rows(labels: Int[Tensor, " n"], seed: int, most: int = MOST) -> Int[Tensor, " m"]:
    """``most`` rows at most, in order: by lot, and of a class with few labels all."""
    generator = torch.Generator().manual_seed(seed)
    places = torch.zeros_like(labels)
    for c in range(int(labels.max()) + 1):
        at = torch.nonzero(labels == c)[:, 0]
        places[at[torch.randperm(len(at), generator=generator)]] = torch.arange(len(at))
    return places.argsort(stable=True)[:most].sort().values
