"""Softmax regression: one convex problem, or many of the same shape at once."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor

STEPS = 60
TOLERANCE = 1e-5


def with_ones(points: Float[Tensor, "... k"]) -> Float[Tensor, "... k1"]:
    """``points`` and a column of ones, for the bias."""
    return torch.cat([points, torch.ones_like(points[..., :1])], dim=-1)


def fit_softmax(
    points: Float[Tensor, "n k"],
    targets: Float[Tensor, "b n c"],
    penalties: Float[Tensor, " b"],
    start: Float[Tensor, "b k c"] | None = None,
    steps: int = STEPS,
) -> Float[Tensor, "b k c"]:
    """Weights that minimise -sum(targets * log softmax(points @ W)) + penalty / 2 |W|², b at once.

    ``targets`` carry the weights of the rows: a row of zeros is a row left out. The problems
    are solved together by L-BFGS on variables scaled by the bound of Böhning 1992
    ("Multinomial logistic regression algorithm") on their curvature.
    """
    weights = targets.sum(dim=2)
    scale = _half_curvatures(points, weights, penalties)
    begin = torch.zeros(len(targets), points.shape[1], targets.shape[2]) if start is None else start
    scaled = torch.linalg.solve(scale, begin).requires_grad_(True)
    optimizer = torch.optim.LBFGS(
        [scaled], max_iter=steps, tolerance_grad=TOLERANCE, tolerance_change=1e-9,
        history_size=10, line_search_fn="strong_wolfe",
    )  # fmt: skip

    # Rows last: products and softmax over few classes then take a sixth of the time.
    hot = targets.transpose(1, 2).contiguous()

    def loss() -> Tensor:
        with torch.no_grad():
            W = scale @ scaled
            logs = torch.log_softmax(W.transpose(1, 2) @ points.T, dim=1)
            slope = ((logs.exp() * weights[:, None] - hot) @ points).transpose(1, 2)
            slope = slope + penalties[:, None, None] * W
            scaled.grad = scale.transpose(1, 2) @ slope
            size: Tensor = (penalties * W.square().sum(dim=(1, 2))).sum()
            return size / 2 - (hot * logs).sum()

    optimizer.step(loss)  # type: ignore[no-untyped-call]
    weights_found: Tensor = scale @ scaled.detach()
    return weights_found


def _half_curvatures(
    points: Float[Tensor, "n k"], weights: Float[Tensor, "b n"], penalties: Float[Tensor, " b"]
) -> Float[Tensor, "b k k"]:
    """A [b, k, k] with A Aᵀ the inverse of the largest curvature, half the scatter + penalty."""
    found, last = [], None
    for each, penalty in zip(weights, penalties, strict=True):
        if last is None or not torch.equal(each, last):  # penalties to compare have the same rows
            # In float64: float32 gives up where rows are much alike.
            values, vectors = torch.linalg.eigh((points.T @ (points * each[:, None])).double())
        last = each
        found.append((vectors / (values.clamp(min=0) / 2 + penalty).sqrt()).to(points))
    return torch.stack(found)
