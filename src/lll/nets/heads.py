"""Heads on an encoder: the projection head and the linear probe."""

from __future__ import annotations

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor, nn


def projection_head(
    features: int, width: int, activation: Callable[[], nn.Module]
) -> nn.Sequential:
    """Encodings [n, features] to projections [n, width], in which views are contrasted.

    Dense, activation, dense: the head g(.) of SimCLR (Chen et al. 2020, section 2.1).
    """
    return nn.Sequential(nn.Linear(features, width), activation(), nn.Linear(width, width))


def feature_head(features: int, width: int, activation: Callable[[], nn.Module]) -> nn.Sequential:
    """Features [n, features] of a frozen encoder to encodings [n, width]: two dense layers.

    The features are brought to mean 0 and variance 1 within each row first.
    """
    return nn.Sequential(
        nn.LayerNorm(features, elementwise_affine=False),
        nn.Linear(features, width),
        activation(),
        nn.Linear(width, width),
        activation(),
    )


class LinearProbe(nn.Linear):
    """Encodings [n, features] to one logit per class, [n, classes]; it can grow."""

    def grow(self, classes: int) -> None:
        """Have ``classes`` outputs: the old ones stay as they are, to the bit.

        New ones are drawn from torch's default generator; see `lll.nets.weights_from`.
        """
        if classes <= self.out_features:
            return
        has_bias = self.bias is not None
        fresh = nn.Linear(self.in_features, classes, bias=has_bias, device=self.weight.device)
        with torch.no_grad():
            for new, old in zip(fresh.parameters(), self.parameters(), strict=True):
                new[: self.out_features] = old
        self.weight, self.bias, self.out_features = fresh.weight, fresh.bias, classes


class CosineProbe(LinearProbe):
    """Encodings [n, features] to the cosines with one direction per class, over ``temperature``.

    Source: Gidaris & Komodakis 2018 (arXiv:1804.09458, section 3.2).
    """

    def __init__(self, features: int, classes: int, temperature: float) -> None:
        super().__init__(features, classes, bias=False)
        self.temperature = temperature

    def forward(self, encodings: Tensor) -> Tensor:
        """Logits [n, classes]."""
        cosines = F.linear(F.normalize(encodings, dim=1), F.normalize(self.weight, dim=1))
        return cosines / self.temperature
