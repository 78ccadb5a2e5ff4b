"""Slow twins of the graph, of propagation, of balancing and of softmax regression: plain loops."""

import numpy as np


def slow_graph(points, k, power=3):
    """The normalised graph [n, n], dense."""
    n = len(points)
    unit = points / np.linalg.norm(points, axis=1, keepdims=True)
    weights = np.zeros((n, n))
    for i in range(n):
        cosines = [(float(unit[i] @ unit[j]), j) for j in range(n) if j != i]
        for cosine, j in sorted(cosines, reverse=True)[:k]:
            weight = max(cosine, 0.0) ** power
            weights[i, j] = max(weights[i, j], weight)
            weights[j, i] = max(weights[j, i], weight)
    degree = weights.sum(axis=0)
    for i in range(n):
        for j in range(n):
            weights[i, j] /= np.sqrt(max(degree[i], 1e-12) * max(degree[j], 1e-12))
    return weights


def slow_spread(graph, seeds, alpha, steps):
    """F <- alpha S F + (1 - alpha) Y, cell by cell."""
    n, c = seeds.shape
    scores = seeds.copy()
    for _ in range(steps):
        following = np.zeros((n, c))
        for i in range(n):
            for k in range(c):
                reached = sum(graph[i, j] * scores[j, k] for j in range(n))
                following[i, k] = alpha * reached + (1 - alpha) * seeds[i, k]
        scores = following
    return scores


def slow_softmax_loss(weights, points, targets, penalty):
    """-sum(targets * log softmax) + penalty / 2 |W|², row by row."""
    total = penalty / 2 * float((weights**2).sum())
    for row, target in zip(points, targets, strict=True):
        logits = row @ weights
        total -= float((target * (logits - np.log(np.exp(logits).sum()))).sum())
    return total
