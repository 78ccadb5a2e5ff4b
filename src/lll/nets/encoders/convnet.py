"""The default encoder for small images: four convolutions and a dense layer."""

from __future__ import annotations

from torch import nn

from lll.nets.encoders.encoder import Activation, Encoder


def convnet(image_size: int, width: int, activation: Activation) -> nn.Module:
    """Four 3x3 convolutions of stride 2 without padding, then one dense layer, ``width`` wide.

    Takes [n, 3, image_size, image_size], gives [n, width]. Sides under 31 pixels vanish in
    the fourth convolution.
    """
    side, channels = image_size, 3
    layers: list[nn.Module] = []
    for _ in range(4):
        layers += [nn.Conv2d(channels, width, kernel_size=3, stride=2), activation()]
        side, channels = (side - 3) // 2 + 1, width
    dense = nn.Linear(width * side * side, width)
    return nn.Sequential(*layers, nn.Flatten(), dense, activation())


CONVNET = Encoder(
    name="convnet",
    description="four convolutions and a dense layer, for small images",
    build=convnet,
    features=128,
    size=32,
    sizes=(31, 1024),
)
