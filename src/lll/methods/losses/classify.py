"""Softmax cross-entropy from logits."""

import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor


def cross_entropy(logits: Float[Tensor, "n c"], targets: Int[Tensor, "n"]) -> Float[Tensor, ""]:
    """Mean over the n rows of ``-log softmax(logits)[target]``, in nats.

    ``logits`` [n, c], one per class of the data set; ``targets`` [n], indices into them.
    An empty batch gives 0 (with a zero gradient), where torch's own mean gives NaN.

    Raises IndexError or RuntimeError, as torch does, for a target outside [0, c).
    """
    return F.cross_entropy(logits, targets, reduction="sum") / max(len(targets), 1)
