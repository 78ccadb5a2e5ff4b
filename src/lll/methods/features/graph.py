"""The graph of nearest neighbours, and labels that spread over it."""

from __future__ import annotations

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from numpy.typing import NDArray
from scipy import sparse
from torch import Tensor

NEIGHBOURS = 15
POWER = 3  # of the cosine
ALPHA = 0.99
STEPS = 40
BLOCK = 512  # rows whose similarities to all are held at a time
GROUP = 32  # columns whose largest similarity is looked at first


def nearest(
    queries: Float[Tensor, "m d"], points: Float[Tensor, "n d"], k: int = 5
) -> tuple[Float[Tensor, "m k"], Int[Tensor, "m k"]]:
    """Cosines and rows of the ``k`` (or n) points nearest to each query, nearest first."""
    unit = F.normalize(points, dim=1)
    found = [
        top(F.normalize(block, dim=1) @ unit.T, min(k, len(points)))
        for block in torch.split(queries, BLOCK)
    ]
    return torch.cat([values for values, _ in found]), torch.cat([rows for _, rows in found])


def top(values: Float[Tensor, "m n"], k: int) -> tuple[Float[Tensor, "m k"], Int[Tensor, "m k"]]:
    """The ``k`` largest of each row and where they are.

    They are sought in the k groups of columns with the largest maxima, where they must be: a
    third of the time of a plain search through wide rows.
    """
    groups = values.shape[1] // GROUP
    if groups <= k:
        best = values.topk(k, dim=1)
        return best.values, best.indices
    even = values[:, : groups * GROUP].view(len(values), GROUP, groups)
    found = even.amax(dim=1).topk(k, dim=1).indices
    columns = (found[:, None, :] + groups * torch.arange(GROUP)[:, None]).flatten(1)
    rest = torch.arange(groups * GROUP, values.shape[1]).expand(len(values), -1)
    columns = torch.cat([columns, rest], dim=1)
    best = values.gather(1, columns).topk(k, dim=1)
    return best.values, columns.gather(1, best.indices)


def neighbour_graph(points: Float[Tensor, "n d"], k: int = NEIGHBOURS) -> sparse.csr_array:
    """D^-1/2 W D^-1/2 [n, n] of the cosine graph of the ``k`` nearest neighbours.

    An edge stands where either end is among the other's nearest; its weight is the cosine
    to the power of `POWER`, nothing where that is negative. Source: Iscen et al. 2019, "Label
    propagation for deep semi-supervised learning".
    """
    n = len(points)
    cosines, indices = nearest(points, points, k + 1)  # each is among its own
    rows = torch.arange(n)[:, None].expand_as(indices)
    other = (rows != indices).flatten()
    weights = cosines.flatten()[other].clamp(min=0).pow(POWER).numpy()
    at = (rows.flatten()[other].numpy(), indices.flatten()[other].numpy())
    one_way = sparse.csr_array((weights, at), shape=(n, n))
    both = one_way.maximum(one_way.T)
    scale = sparse.diags_array(1 / np.sqrt(np.maximum(both.sum(axis=0), 1e-12)))
    return sparse.csr_array(scale @ both @ scale, dtype=np.float32)


def spread(
    graph: sparse.csr_array, seeds: NDArray[np.float32], alpha: float = ALPHA, steps: int = STEPS
) -> NDArray[np.float32]:
    """F [n, c] after ``steps`` of F <- alpha S F + (1 - alpha) Y, from Y = ``seeds`` [n, c].

    Source: Zhou et al. 2004, "Learning with local and global consistency".
    """
    scores = seeds
    for _ in range(steps):
        scores = alpha * (graph @ scores) + (1 - alpha) * seeds
    return scores
