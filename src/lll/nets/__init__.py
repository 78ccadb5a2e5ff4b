"""Networks: encoders by name, and the heads on them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

import torch
from torch import nn

from lll.errors import lookup
from lll.nets.encoders import (
    ACTIVATIONS,
    ENCODERS,
    build_encoder,
    encoding_width,
    evaluating,
)
from lll.nets.heads import CosineProbe, LinearProbe, feature_head, projection_head

__all__ = [
    "ACTIVATIONS",
    "ENCODERS",
    "CosineProbe",
    "LinearProbe",
    "activation_named",
    "build_encoder",
    "encoding_width",
    "evaluating",
    "feature_head",
    "projection_head",
    "reset_module",
    "weights_from",
]


def activation_named(name: str) -> Callable[[], nn.Module]:
    """What makes the activation called ``name``; UserError if there is none."""
    return lookup(ACTIVATIONS, name, "activation")


def reset_module(module: nn.Module, seed: int) -> None:
    """Draw the weights of ``module`` anew from ``seed``."""
    with weights_from(seed):
        for part in module.modules():
            reset = getattr(part, "reset_parameters", None)
            if callable(reset):
                reset()


@contextmanager
def weights_from(seed: int) -> Iterator[None]:
    """Layers draw their weights from ``seed`` inside; the caller's generator is untouched.

    torch's layers know no generator argument, so the CPU's default one is borrowed and
    given back as it was. (``torch.manual_seed`` would reseed the GPUs as well.)
    """
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(seed)
        yield
