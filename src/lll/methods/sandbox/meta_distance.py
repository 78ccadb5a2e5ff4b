"""Sandbox rule `meta_distance`: labelled points attract, or repel, their meta points."""

import torch
from jaxtyping import Float
from torch import Tensor

from lll.errors import lookup
from lll.methods.sandbox.meta_points import meta_points

# Distances, in encoding units, are smoothed to sqrt(distance² + this²). The log then stays
# above log(1e-6) = -13.8, and its gradient with respect to a point below 0.5 / 1e-6.
DISTANCE_EPSILON = 1e-6

DIRECTIONS: dict[str, float] = {"attract": 1.0, "repel": -1.0}


def meta_distance(
    U: Float[Tensor, "u d"], L: Float[Tensor, "l d"], direction: str = "attract"
) -> Float[Tensor, ""]:
    """Mean log Euclidean distance between labelled points and their meta points.

    ``U`` [u, d] and ``L`` [l, d] are encodings, unlabelled and labelled; no labels needed.

        S = softmax over labelled of (U Lᵀ)                   [u, l]
        m[j] = (Σ_i S[i, j] U[i]) ∘ L[j]                      [l, d]
        loss = ± mean_j log sqrt(|L[j] - m[j]|² + DISTANCE_EPSILON²)

    with + for ``direction`` "attract" and - for "repel". Without unlabelled images m is 0,
    and the distance is the norm of L; without labelled images the loss is 0.

    Source: this project. DISTANCE_EPSILON is a departure from the plain log distance, which
    is -inf where the two coincide.

    Raises UserError for any other direction.
    """
    sign = lookup(DIRECTIONS, direction, "direction")
    share = torch.softmax(U @ L.T, dim=1)
    log_distances = _log_norm(L - meta_points(U, L, share))
    return sign * log_distances.sum() / max(len(L), 1)


def _log_norm(x: Float[Tensor, "n d"]) -> Float[Tensor, "n"]:
    """``log sqrt(|x|² + DISTANCE_EPSILON²)`` [n], without overflow or underflow of squares.

    Each row is divided by its largest entry before squaring. The value does not depend on
    that scale, so no gradient needs to pass through it.
    """
    scale = x.detach().abs().amax(dim=1, keepdim=True).clamp(min=DISTANCE_EPSILON)
    squares = (x / scale).square().sum(dim=1) + (DISTANCE_EPSILON / scale[:, 0]).square()
    return squares.log() / 2 + scale[:, 0].log()
