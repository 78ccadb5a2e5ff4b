"""Networks: encoders by name, the heads on them, and the four modules that a run trains."""

from __future__ import annotations

from collections.abc import Iterator
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
from lll.nets.heads import linear_probe, projection_head

__all__ = [
    "ACTIVATIONS",
    "ENCODERS",
    "build_models",
    "encoding_width",
    "evaluating",
    "reset_module",
]


def build_models(
    *,
    encoder: str | nn.Module,
    classes: int,
    image_size: int,
    width: int,
    activation: str,
    seed: int,
) -> nn.ModuleDict:
    """The modules of a run: ``encoder``, ``projection``, ``probe`` and ``pseudo_probe``.

    ``encoder`` is a name in `ENCODERS` or any module from [n, 3, s, s] floats to [n, d];
    a module that is given keeps its weights. The rest are drawn from ``seed``. Weights of
    convolutions lie channels-last in memory, as images do.
    """
    with _weights_from(seed):
        if isinstance(encoder, str):
            encoder = build_encoder(encoder, image_size, width, activation)
        features = encoding_width(encoder, image_size)
        modules = nn.ModuleDict(
            {
                "encoder": encoder,
                "projection": projection_head(
                    features, width, lookup(ACTIVATIONS, activation, "activation")
                ),
                "probe": linear_probe(features, classes),
                "pseudo_probe": linear_probe(features, classes),
            }
        )
    # torch's type stubs do not know this overload.
    return modules.to(memory_format=torch.channels_last)  # type: ignore[call-overload, no-any-return]


def reset_module(module: nn.Module, seed: int) -> None:
    """Draw the weights of ``module`` anew from ``seed``."""
    with _weights_from(seed):
        for part in module.modules():
            reset = getattr(part, "reset_parameters", None)
            if callable(reset):
                reset()


@contextmanager
def _weights_from(seed: int) -> Iterator[None]:
    """Layers draw their weights from ``seed`` inside; the caller's generator is untouched.

    torch's layers know no generator argument, so the CPU's default one is borrowed and
    given back as it was. (``torch.manual_seed`` would reseed the GPUs as well.)
    """
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(seed)
        yield
