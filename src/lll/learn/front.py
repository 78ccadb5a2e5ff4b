"""The frozen encoder in front of a learner, for runs that learn on features."""

from __future__ import annotations

from pathlib import Path

import torch
from torch import nn

from lll.config import RunConfig
from lll.nets.frozen import Frozen, freeze, frozen_encoder, pretrained


def front_of(
    config: RunConfig, device: torch.device, encoder: nn.Module | None = None
) -> Frozen | None:
    """The frozen encoder of ``config`` on ``device``, or None where images are learned on.

    ``encoder`` is the caller's own, if it was trained with one.
    """
    if not config.freeze:
        return None
    if encoder is not None:
        return freeze(encoder, config.encoder, config.image_size, device=device)
    return frozen_encoder(config.encoder, config.image_size, _weights(config), device=device)


def check_front(config: RunConfig) -> None:
    """Raise what `front_of` raises for a name, a size or weights, in less time."""
    pretrained(config.encoder, config.image_size, _weights(config))


def _weights(config: RunConfig) -> Path | None:
    return None if config.weights is None else Path(config.weights)
