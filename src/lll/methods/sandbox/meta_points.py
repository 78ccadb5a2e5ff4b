"""Meta points: labelled points seen through the unlabelled points similar to them."""

from jaxtyping import Float
from torch import Tensor


def meta_points(
    U: Float[Tensor, "u d"], L: Float[Tensor, "l d"], weights: Float[Tensor, "u l"]
) -> Float[Tensor, "l d"]:
    """``m[j] = (Σ_i weights[i, j] U[i]) ∘ L[j]`` [l, d], ∘ being the product per feature.

    ``U`` [u, d] and ``L`` [l, d] are encodings, unlabelled and labelled. Without unlabelled
    images every meta point is 0.
    """
    return (weights.T @ U) * L
