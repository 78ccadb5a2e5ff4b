"""Similarities between points, and their means over weighted points.

A similarity is one name in two tables: `SIMILARITIES` compares two sets of points, and
`WEIGHTED_MEANS` compares one set with the points of another scaled by a weight per class.
"""

from collections.abc import Callable

import torch
from jaxtyping import Float
from torch import Tensor

# Added to squared distances, in squared encoding units: the similarity of identical points
# is 1000, and its gradient with respect to a point is at most 0.65 * 1e-3^-1.5 = 2.1e4.
DISTANCE_EPSILON = 1e-3

Similarity = Callable[[Tensor, Tensor], Tensor]
WeightedMean = Callable[[Tensor, Tensor, Tensor], Tensor]


def dot(a: Float[Tensor, "a d"], b: Float[Tensor, "b d"]) -> Float[Tensor, "a b"]:
    """``a[i] · b[j]`` for every pair [a, b]."""
    return a @ b.T


def inverse_distance(a: Float[Tensor, "a d"], b: Float[Tensor, "b d"]) -> Float[Tensor, "a b"]:
    """``1 / (|a[i] - b[j]|² + DISTANCE_EPSILON)`` for every pair [a, b].

    Identical points give 1 / DISTANCE_EPSILON with a zero gradient, at any scale.
    """
    return 1 / (_squared_distance(a, b) + DISTANCE_EPSILON)


def dot_weighted_mean(
    L: Float[Tensor, "l d"], U: Float[Tensor, "u d"], weights: Float[Tensor, "u c"]
) -> Float[Tensor, "l c"]:
    """Mean over i of ``L[j] · (weights[i, c] U[i])`` [l, c]; 0 without points in U."""
    return L @ (U.T @ weights) / max(len(U), 1)


def inverse_distance_weighted_mean(
    L: Float[Tensor, "l d"], U: Float[Tensor, "u d"], weights: Float[Tensor, "u c"]
) -> Float[Tensor, "l c"]:
    """Mean over i of ``1 / (|L[j] - w U[i]|² + DISTANCE_EPSILON)``, w = ``weights[i, c]``.

    ``weights`` in [0, 1]; returns [l, c], 0 without points in U. The largest tensor is
    [l, u, c], thanks to the identity

        |L - w U|² = w |L - U|² + (1 - w) (|L|² - w |U|²)

    which is exact for w = 1 and w = 0, where |L|² - 2w L·U + w²|U|² would lose the distance
    between close points to rounding. Rounding remains where L is near w U for a w inside
    (0, 1), so the result is clamped at 0.
    """
    near = _squared_distance(L, U)[:, :, None]
    w = weights[None, :, :]
    l_squared = L.square().sum(dim=1)[:, None, None]
    u_squared = U.square().sum(dim=1)[None, :, None]
    distance = (w * near + (1 - w) * (l_squared - w * u_squared)).clamp(min=0)
    return (1 / (distance + DISTANCE_EPSILON)).sum(dim=1) / max(len(U), 1)


SIMILARITIES: dict[str, Similarity] = {"dot": dot, "inverse_distance": inverse_distance}
WEIGHTED_MEANS: dict[str, WeightedMean] = {
    "dot": dot_weighted_mean,
    "inverse_distance": inverse_distance_weighted_mean,
}


def _squared_distance(a: Float[Tensor, "a d"], b: Float[Tensor, "b d"]) -> Float[Tensor, "a b"]:
    # By differences, not by |a|² - 2 a·b + |b|²: for encodings near 1e4 the latter is off by
    # about 1e3 in float32, and identical points would look far apart.
    return torch.cdist(a, b, compute_mode="donot_use_mm_for_euclid_dist").square()
