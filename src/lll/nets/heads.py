"""Heads on an encoder: the projection head and the linear probe."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import nn


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
        fresh = nn.Linear(self.in_features, classes, device=self.weight.device)
        with torch.no_grad():
            fresh.weight[: self.out_features] = self.weight
            fresh.bias[: self.out_features] = self.bias
        self.weight, self.bias, self.out_features = fresh.weight, fresh.bias, classes
