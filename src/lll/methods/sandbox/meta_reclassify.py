"""Sandbox rule `meta_reclassify`: classify the meta points of labelled images."""

from collections.abc import Callable

from jaxtyping import Float, Int
from torch import Tensor

from lll.methods.losses.classify import cross_entropy
from lll.methods.sandbox.meta_points import meta_points


def meta_reclassify(
    U: Float[Tensor, "u d"],
    L: Float[Tensor, "l d"],
    targets: Int[Tensor, "l"],
    pseudo_probe: Callable[[Tensor], Tensor],
) -> Float[Tensor, ""]:
    """Cross-entropy, in nats, of the meta points weighted by raw dot products.

    ``U`` [u, d] and ``L`` [l, d] are encodings, unlabelled and labelled; ``targets`` [l]
    index all classes of the data set; ``pseudo_probe`` maps [l, d] to logits [l, classes].

        S = U Lᵀ                                              [u, l]
        m[j] = (Σ_i S[i, j] U[i]) ∘ L[j]                      [l, d]
        loss = mean_j cross-entropy(pseudo_probe(m)[j], targets[j])

    m grows with the fourth power of the encodings and with u. Without unlabelled images m
    is 0; without labelled images the loss is 0.

    Source: this project.
    """
    return cross_entropy(pseudo_probe(meta_points(U, L, U @ L.T)), targets)
