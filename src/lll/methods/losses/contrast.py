"""Contrastive losses between two views of the same images, and their accuracy."""

from collections.abc import Callable

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor

from lll.errors import UserError
from lll.methods.losses.classify import cross_entropy

# Projections are divided by max(norm, this). Torch's default of 1e-12 lets the gradient of
# a dead (all-zero) projection reach 1e12, which is finite but ruins Adam's second moments.
NORM_EPSILON = 1e-6

Contrast = Callable[[Tensor, Tensor, float], tuple[Tensor, Tensor]]


def info_nce(
    first: Float[Tensor, "n d"], second: Float[Tensor, "n d"], temperature: float
) -> tuple[Float[Tensor, ""], Float[Tensor, ""]]:
    """Symmetric InfoNCE with cross-view negatives only; returns (loss in nats, accuracy).

    ``first`` and ``second`` [n, d] are projections; row i of each is a view of image i.
    With z = x / max(|x|, NORM_EPSILON) and s[i, j] = z_first[i] · z_second[j] / temperature:

        loss = 1/2 mean_i( -log softmax(s[i, :])[i] ) + 1/2 mean_i( -log softmax(s[:, i])[i] )

    The accuracy is the share of rows whose paired view ranks first among the n candidates,
    averaged over both ways; it carries no gradient. Between equals the first ranks first,
    so that a collapsed projection scores 1/n. One image gives loss 0 and accuracy 1.

    Source: NT-Xent of SimCLR (Chen et al. 2020, arXiv:2002.05709, eq. 1). Departs from it:
    the other images of the same view are not among the negatives (n - 1 instead of
    2n - 2); see `nt_xent` for the original.

    Raises UserError if ``temperature`` is not above zero.

    >>> views = torch.eye(4)
    >>> loss, accuracy = info_nce(views, views, temperature=0.1)
    >>> round(loss.item(), 6), accuracy.item()  # log(1 + 3 exp(-10))
    (0.000136, 1.0)
    """
    scale = 1.0 / _positive(temperature)
    similarity = _unit(first) @ _unit(second).T * scale
    paired = torch.arange(len(first), device=first.device)
    loss = (cross_entropy(similarity, paired) + cross_entropy(similarity.T, paired)) / 2
    accuracy = (_ranks_first(similarity, paired) + _ranks_first(similarity.T, paired)) / 2
    return loss, accuracy


def nt_xent(
    first: Float[Tensor, "n d"], second: Float[Tensor, "n d"], temperature: float
) -> tuple[Float[Tensor, ""], Float[Tensor, ""]]:
    """NT-Xent with negatives from both views; returns (loss in nats, accuracy).

    ``first`` and ``second`` [n, d] as in `info_nce`. The 2n normalised projections stand in
    one list; each is compared with the 2n - 1 others, of which one is its pair:

        loss = mean over the 2n rows of -log softmax over the others of (z · z' / temperature)

    taken at the pair. The accuracy is the share of rows whose pair ranks first among the
    2n - 1; it carries no gradient. One image gives loss 0 and accuracy 1.

    Source: SimCLR (Chen et al. 2020, arXiv:2002.05709, eq. 1 and algorithm 1), without
    departure but for NORM_EPSILON.

    Raises UserError if ``temperature`` is not above zero.
    """
    scale = 1.0 / _positive(temperature)
    n = len(first)
    views = _unit(torch.cat([first, second]))
    itself = torch.eye(2 * n, dtype=torch.bool, device=first.device)
    similarity = (views @ views.T * scale).masked_fill(itself, -torch.inf)
    paired = torch.arange(2 * n, device=first.device).roll(n)
    return cross_entropy(similarity, paired), _ranks_first(similarity, paired)


CONTRASTS: dict[str, Contrast] = {"info_nce": info_nce, "nt_xent": nt_xent}


def _unit(x: Float[Tensor, "n d"]) -> Float[Tensor, "n d"]:
    return F.normalize(x, dim=1, eps=NORM_EPSILON)


def _ranks_first(similarity: Float[Tensor, "a b"], paired: Int[Tensor, "a"]) -> Float[Tensor, ""]:
    """Share of rows whose largest entry is the paired one; 0 for no rows."""
    if len(paired) == 0:
        return similarity.new_zeros(())
    return (similarity.detach().argmax(dim=1) == paired).to(similarity.dtype).mean()


def _positive(temperature: float) -> float:
    if not temperature > 0:
        raise UserError(f"temperature {temperature} is not above zero: 0.1 is usual")
    return temperature
