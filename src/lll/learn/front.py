"""The frozen encoder in front of a learner, for runs that learn on features."""

from __future__ import annotations

from pathlib import Path
from time import perf_counter

import torch
from torch import nn

from lll.config import RunConfig
from lll.nets.frozen import Frozen, freeze, frozen_encoder, parted, pretrained

VIEWS_A_STEP = 3
"""How often a step looks at an image, about: two strong views and a weak one."""


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
    if config.unfreeze:
        name = f"{config.encoder}-but-{config.unfreeze}"
        return freeze(_parted(config)[0], name, config.image_size, device=device)
    return frozen_encoder(config.encoder, config.image_size, _weights(config), device=device)


def last_blocks(config: RunConfig) -> tuple[nn.Module, int]:
    """What ``config`` unfreezes of its encoder, features to encodings, and their width."""
    return _parted(config)[1:]


def rough_seconds(config: RunConfig, images: int) -> float:
    """About how long training on ``images`` takes, from one step of the unfrozen blocks."""
    front, blocks, _ = _parted(config)
    few = torch.zeros(min(32, config.batch_size), 3, config.image_size, config.image_size)
    with torch.no_grad():
        features = front(few)
    begun = perf_counter()
    blocks(features).sum().backward()
    return (perf_counter() - begun) / len(few) * images * config.epochs * VIEWS_A_STEP


def check_front(config: RunConfig) -> None:
    """Raise what `front_of` raises for a name, a size or weights, in less time."""
    if config.unfreeze:
        _parted(config)
    else:
        pretrained(config.encoder, config.image_size, _weights(config))


def _parted(config: RunConfig) -> tuple[nn.Module, nn.Module, int]:
    return parted(config.encoder, config.image_size, _weights(config), config.unfreeze)


def _weights(config: RunConfig) -> Path | None:
    return None if config.weights is None else Path(config.weights)
