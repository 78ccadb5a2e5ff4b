"""Encoders by name: images in, features out.

To add one: write a file like `convnet.py` and give it a line in `ENCODERS`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import torch
from torch import nn

from lll.errors import UserError, lookup
from lll.nets.encoders.convnet import CONVNET
from lll.nets.encoders.efficientnet_lite import EFFICIENTNET_LITE2
from lll.nets.encoders.encoder import Activation, Encoder, Normalise
from lll.nets.encoders.resnet18 import RESNET18
from lll.nets.encoders.timm import PREFIX, timm_encoder
from lll.nets.encoders.wrn import WRN_28_2

__all__ = [
    "ACTIVATIONS",
    "CUSTOM_ENCODER",
    "ENCODERS",
    "Encoder",
    "Normalise",
    "build_encoder",
    "encoding_width",
    "evaluating",
    "find_encoder",
]

ACTIVATIONS: Mapping[str, Activation] = {
    "relu": lambda: nn.ReLU(inplace=True),
    "leaky_relu": lambda: nn.LeakyReLU(0.2, inplace=True),
}

CUSTOM_ENCODER = "custom"
"""What a configuration calls an encoder that the caller brought."""

ENCODERS: Mapping[str, Encoder] = {
    "convnet": CONVNET,
    "resnet18": RESNET18,
    "wrn-28-2": WRN_28_2,
    "efficientnet_lite2": EFFICIENTNET_LITE2,
}


def find_encoder(name: str) -> Encoder:
    """The encoder called ``name``, also ``timm:NAME``; UserError if there is none."""
    if name.startswith(PREFIX):
        return timm_encoder(name.removeprefix(PREFIX))
    return lookup(ENCODERS, name, "encoder")


def build_encoder(
    name: str, image_size: int, width: int, activation: str, weights: Path | None = None
) -> nn.Module:
    """The module of the encoder called ``name``: [n, 3, s, s] floats in [0, 1] to [n, d].

    ``weights`` is a file to take the place of pretrained ones. Raises UserError as
    `find_encoder` and `Encoder.module` do.
    """
    chosen = lookup(ACTIVATIONS, activation, "activation")
    return find_encoder(name).module(image_size, width, chosen, weights)


@contextmanager
def evaluating(module: nn.Module) -> Iterator[None]:
    """Inside, ``module`` is in evaluation mode; then every part is as it was.

    Part by part, because a caller's encoder may hold parts that are frozen for good.
    """
    modes = [(part, part.training) for part in module.modules()]
    module.eval()
    try:
        yield
    finally:
        for part, training in modes:
            part.training = training


def encoding_width(encoder: nn.Module, image_size: int) -> int:
    """The number d of features that ``encoder`` gives, found by showing it one black image."""
    device = next((p.device for p in encoder.parameters()), torch.device("cpu"))
    with evaluating(encoder), torch.no_grad():
        shape = encoder(torch.zeros(1, 3, image_size, image_size, device=device)).shape
    if len(shape) != 2:
        raise UserError(f"the encoder must give encodings [n, d], not {list(shape)}")
    return int(shape[1])
