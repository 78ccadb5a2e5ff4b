"""Encoders by name: images in, encodings out.

To add one: write a function like `convnet` and give it a line in `ENCODERS`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

import torch
from torch import nn

from lll.types import UserError, lookup

ACTIVATIONS: dict[str, Callable[[], nn.Module]] = {
    "relu": lambda: nn.ReLU(inplace=True),
    "leaky_relu": lambda: nn.LeakyReLU(0.2, inplace=True),
}


def convnet(image_size: int, width: int, activation: Callable[[], nn.Module]) -> nn.Module:
    """Four 3x3 convolutions of stride 2 without padding, then one dense layer, ``width`` wide.

    Takes [n, 3, image_size, image_size], gives [n, width]. Sides under 31 pixels vanish in
    the fourth convolution and raise UserError.
    """
    side, channels = image_size, 3
    layers: list[nn.Module] = []
    for _ in range(4):
        layers += [nn.Conv2d(channels, width, kernel_size=3, stride=2), activation()]
        side, channels = (side - 3) // 2 + 1, width
    if side < 1:
        raise UserError(f"image_size {image_size} is too small for encoder 'convnet': use 31 up")
    dense = nn.Linear(width * side * side, width)
    return nn.Sequential(*layers, nn.Flatten(), dense, activation())


ENCODERS: dict[str, Callable[[int, int, Callable[[], nn.Module]], nn.Module]] = {
    "convnet": convnet,
}


def build_encoder(name: str, image_size: int, width: int, activation: str) -> nn.Module:
    """The encoder called ``name``; UserError with the nearest name if there is none."""
    build = lookup(ENCODERS, name, "encoder")
    return build(image_size, width, lookup(ACTIVATIONS, activation, "activation"))


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
