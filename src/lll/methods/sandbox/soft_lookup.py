"""Sandbox rule `soft_lookup` (experimental): classify what a labelled point looks up."""

import math
from collections.abc import Callable

import torch
from jaxtyping import Float, Int
from torch import Tensor

from lll.methods.losses.classify import cross_entropy


def soft_lookup(
    U: Float[Tensor, "u d"],
    L: Float[Tensor, "l d"],
    targets: Int[Tensor, "l"],
    pseudo_probe: Callable[[Tensor], Tensor],
) -> Float[Tensor, ""]:
    """Cross-entropy, in nats, of what each labelled point attends to among the unlabelled.

    ``U`` [u, d] and ``L`` [l, d] are encodings, unlabelled and labelled; ``targets`` [l]
    index all classes of the data set; ``pseudo_probe`` maps [l, d] to logits [l, classes].

        A = softmax over unlabelled of (L Uᵀ / √d)            [l, u]
        W = softmax over features of (A U)                    [l, d]
        loss = mean_j cross-entropy(pseudo_probe(W)[j], targets[j])

    Without unlabelled images A U is 0 and W is uniform; without labelled images the loss
    is 0.

    Source: this project; A U is the scaled dot-product attention of Vaswani et al. 2017
    (arXiv:1706.03762, eq. 1) with queries L and with U as both keys and values.
    """
    attention = torch.softmax(L @ U.T / math.sqrt(L.shape[1]), dim=1)
    looked_up = torch.softmax(attention @ U, dim=1)
    return cross_entropy(pseudo_probe(looked_up), targets)
