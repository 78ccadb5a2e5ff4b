"""Heads on an encoder: the projection head and the linear probe."""

from __future__ import annotations

from collections.abc import Callable

from torch import nn


def projection_head(
    features: int, width: int, activation: Callable[[], nn.Module]
) -> nn.Sequential:
    """Encodings [n, features] to projections [n, width], in which views are contrasted.

    Dense, activation, dense: the head g(.) of SimCLR (Chen et al. 2020, section 2.1).
    """
    return nn.Sequential(nn.Linear(features, width), activation(), nn.Linear(width, width))


def linear_probe(features: int, classes: int) -> nn.Linear:
    """Encodings [n, features] to one logit per class of the data set, [n, classes]."""
    return nn.Linear(features, classes)
