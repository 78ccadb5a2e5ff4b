"""Slow, obvious twins of the losses: the formulas of the docstrings as explicit loops.

Every number is a 0-d tensor, so that autograd gives the twin's gradients too.
"""

import math
from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from lll.methods.losses import contrast
from lll.methods.sandbox import similarity
from lll.methods.sandbox.meta_distance import DISTANCE_EPSILON

Probe = Callable[[Tensor], Tensor]


def dot_product(a: Tensor, b: Tensor) -> Tensor:
    total = a.new_zeros(())
    for k in range(len(a)):
        total = total + a[k] * b[k]
    return total


def squared_distance(a: Tensor, b: Tensor) -> Tensor:
    return dot_product(a - b, a - b)


def inverse_distance(a: Tensor, b: Tensor) -> Tensor:
    return 1 / (squared_distance(a, b) + similarity.DISTANCE_EPSILON)


SIMILARITIES = {"dot": dot_product, "inverse_distance": inverse_distance}


def similarity_matrix(a: Tensor, b: Tensor, name: str) -> Tensor:
    rows = [torch.stack([SIMILARITIES[name](x, y) for y in b]) for x in a]
    return torch.stack(rows)


def log_softmax(values: Sequence[Tensor]) -> list[Tensor]:
    top = max(value.item() for value in values)
    total = sum((torch.exp(value - top) for value in values), start=torch.zeros(()))
    return [value - top - torch.log(total) for value in values]


def softmax(values: Sequence[Tensor]) -> list[Tensor]:
    return [torch.exp(value) for value in log_softmax(values)]


def mean(values: Sequence[Tensor], like: Tensor) -> Tensor:
    total = like.new_zeros(())
    for value in values:
        total = total + value
    return total / len(values) if values else total


def cross_entropy(logits: Tensor, targets: Tensor) -> Tensor:
    losses = [-log_softmax(list(row))[int(y)] for row, y in zip(logits, targets, strict=True)]
    return mean(losses, logits)


def unit(x: Tensor) -> Tensor:
    norm = torch.sqrt(dot_product(x, x))
    return x / norm if norm > contrast.NORM_EPSILON else x / contrast.NORM_EPSILON


def ranked(candidates: Sequence[list[Tensor]], paired: Sequence[int]) -> tuple[Tensor, float]:
    """Mean cross-entropy of the paired candidate, and how often it comes first."""
    losses, hits = [], 0
    for row, pair in zip(candidates, paired, strict=True):
        losses.append(-log_softmax(row)[pair])
        hits += all(row[pair] > other for k, other in enumerate(row) if k != pair)
    return mean(losses, losses[0]), hits / len(losses)


def info_nce(first: Tensor, second: Tensor, temperature: float) -> tuple[Tensor, float]:
    a, b = [unit(x) for x in first], [unit(x) for x in second]
    n = len(a)
    forth, forth_hits = ranked(
        [[dot_product(a[i], b[j]) / temperature for j in range(n)] for i in range(n)], range(n)
    )
    back, back_hits = ranked(
        [[dot_product(b[i], a[j]) / temperature for j in range(n)] for i in range(n)], range(n)
    )
    return (forth + back) / 2, (forth_hits + back_hits) / 2


def nt_xent(first: Tensor, second: Tensor, temperature: float) -> tuple[Tensor, float]:
    n = len(first)
    z = [unit(x) for x in first] + [unit(x) for x in second]
    candidates, paired = [], []
    for i in range(2 * n):
        others = [k for k in range(2 * n) if k != i]
        candidates.append([dot_product(z[i], z[k]) / temperature for k in others])
        paired.append(others.index((i + n) % (2 * n)))
    return ranked(candidates, paired)


CONTRASTS = {"info_nce": info_nce, "nt_xent": nt_xent}


def soft_lookup(U: Tensor, L: Tensor, targets: Tensor, pseudo_probe: Probe) -> Tensor:
    d = L.shape[1]
    looked_up = []
    for point in L:
        value = torch.zeros_like(point)
        if len(U):
            attention = softmax([dot_product(point, other) / math.sqrt(d) for other in U])
            for share, other in zip(attention, U, strict=True):
                value = value + share * other
        looked_up.append(torch.stack(softmax(list(value))))
    return cross_entropy(pseudo_probe(torch.stack(looked_up)), targets)


def reclassify_losses(U: Tensor, L: Tensor, targets: Tensor, name: str) -> list[Tensor]:
    """Cross-entropy under Q of each labelled point."""
    compare = SIMILARITIES[name]
    classes = sorted({int(y) for y in targets})
    shares = []
    for point in U:
        s = []
        for c in classes:
            members = [L[j] for j in range(len(L)) if int(targets[j]) == c]
            s.append(mean([compare(point, member) for member in members], L))
        shares.append(softmax(s))
    losses = []
    for j in range(len(L)):
        t = [
            mean([compare(L[j], shares[i][c] * U[i]) for i in range(len(U))], L)
            for c in range(len(classes))
        ]
        losses.append(-log_softmax(t)[classes.index(int(targets[j]))])
    return losses


def reclassify_per_class(U: Tensor, L: Tensor, targets: Tensor, name: str) -> Tensor:
    losses = reclassify_losses(U, L, targets, name)
    return torch.stack(
        [
            mean([losses[j] for j in range(len(L)) if int(targets[j]) == c], L)
            for c in sorted({int(y) for y in targets})
        ]
    )


def reclassify_weighted(U: Tensor, L: Tensor, targets: Tensor, name: str) -> Tensor:
    total = L.new_zeros(())
    classes = sorted({int(y) for y in targets})
    for c, loss in zip(classes, reclassify_per_class(U, L, targets, name), strict=True):
        n_c = sum(int(y) == c for y in targets)
        total = total + n_c / len(L) * loss
    return total


def meta_point(U: Tensor, point: Tensor, weights: Sequence[Tensor]) -> Tensor:
    total = torch.zeros_like(point)
    for weight, other in zip(weights, U, strict=True):
        total = total + weight * other
    return total * point


def meta_reclassify(U: Tensor, L: Tensor, targets: Tensor, pseudo_probe: Probe) -> Tensor:
    points = [meta_point(U, point, [dot_product(other, point) for other in U]) for point in L]
    return cross_entropy(pseudo_probe(torch.stack(points)), targets)


def meta_distance_loss(U: Tensor, L: Tensor, direction: str) -> Tensor:
    shares = [softmax([dot_product(other, point) for point in L]) for other in U]
    logs = []
    for j, point in enumerate(L):
        m = meta_point(U, point, [share[j] for share in shares])
        squared = squared_distance(point, m) + DISTANCE_EPSILON**2
        logs.append(torch.log(torch.sqrt(squared)))
    return mean(logs, L) if direction == "attract" else -mean(logs, L)
