"""Sandbox rules `reclassify_per_class` and `reclassify_weighted`.

Unlabelled points are shared out among the classes by their similarity to the labelled
points; the labelled points are then classified by the shares around them.
"""

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor

from lll.errors import lookup
from lll.methods.sandbox.similarity import SIMILARITIES, WEIGHTED_MEANS


def reclassify_per_class(
    U: Float[Tensor, "u d"],
    L: Float[Tensor, "l d"],
    targets: Int[Tensor, "l"],
    similarity: str = "dot",
) -> Float[Tensor, "k"]:
    """One loss, in nats, per class present in ``targets``, in increasing class order [k].

    ``U`` [u, d] and ``L`` [l, d] are encodings, unlabelled and labelled; ``targets`` [l]
    index all classes of the data set, of which the k present ones take part.

        s[i, c] = mean similarity of U[i] to the labelled points of class c     [u, k]
        P = softmax over c of s                                                 [u, k]
        t[j, c] = mean over i of similarity(L[j], P[i, c] U[i])                 [l, k]
        Q = softmax over c of t                                                 [l, k]
        loss[c] = mean over the labelled points j of class c of -log Q[j, c]    [k]

    Without unlabelled images t is 0 and every loss is log k; with one class every loss
    is 0; without labelled images k is 0.

    Source: this project. ``similarity`` is a name in `lll.methods.sandbox.similarity.SIMILARITIES`.

    Raises UserError for an unknown similarity.
    """
    losses, member = _point_losses(U, L, targets, similarity)
    return losses @ (member / member.sum(dim=0))


def reclassify_weighted(
    U: Float[Tensor, "u d"],
    L: Float[Tensor, "l d"],
    targets: Int[Tensor, "l"],
    similarity: str = "dot",
) -> Float[Tensor, ""]:
    """The losses of `reclassify_per_class`, summed with weight n_c / l, in nats.

    n_c is how many of the l labelled points have class c, so the sum is the plain mean over
    labelled points. Arguments and errors are those of `reclassify_per_class`; without
    labelled images the loss is 0.
    """
    losses, _ = _point_losses(U, L, targets, similarity)
    return losses.sum() / max(len(L), 1)


def _point_losses(
    U: Float[Tensor, "u d"], L: Float[Tensor, "l d"], targets: Int[Tensor, "l"], similarity: str
) -> tuple[Float[Tensor, "l"], Float[Tensor, "l k"]]:
    """Cross-entropy [l] of each labelled point under Q, and who belongs to which class [l, k]."""
    compare = lookup(SIMILARITIES, similarity, "similarity")
    weighted_mean = lookup(WEIGHTED_MEANS, similarity, "similarity")
    present, own = torch.unique(targets, return_inverse=True)
    member = (own[:, None] == torch.arange(len(present), device=own.device)).to(L.dtype)
    P = torch.softmax(compare(U, L) @ (member / member.sum(dim=0)), dim=1)
    t = weighted_mean(L, U, P)
    return F.cross_entropy(t, own, reduction="none"), member
