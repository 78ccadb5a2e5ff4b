"""Encoders by name: images in, encodings out.

To add one: write a function like `convnet` and give it a line in `ENCODERS`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn

from lll.errors import UserError, lookup

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


class BasicBlock(nn.Module):
    """Two 3x3 convolutions with batch norm, added to the input (He et al. 2016, figure 2).

    Takes [n, inputs, h, w], gives [n, outputs, h / stride, w / stride]. Where the shape changes
    the input passes a 1x1 convolution with batch norm (their option B).
    """

    def __init__(
        self, inputs: int, outputs: int, stride: int, activation: Callable[[], nn.Module]
    ) -> None:
        super().__init__()
        self.residual = nn.Sequential(
            nn.Conv2d(inputs, outputs, 3, stride, padding=1, bias=False),
            nn.BatchNorm2d(outputs),
            activation(),
            nn.Conv2d(outputs, outputs, 3, padding=1, bias=False),
            nn.BatchNorm2d(outputs),
        )
        self.stride = stride
        self.shortcut: nn.Module = nn.Identity()
        if stride != 1 or inputs != outputs:
            self.shortcut = nn.Sequential(
                nn.Conv2d(inputs, outputs, 1, bias=False), nn.BatchNorm2d(outputs)
            )
        self.activation = activation()

    def forward(self, images: Tensor) -> Tensor:
        """Feature maps [n, outputs, h', w']."""
        # Not by a strided 1x1 convolution: on CPUs its backward pass can crash with under 16
        # channels (torch 2.13, two threads, odd batches).
        passed = self.shortcut(images[:, :, :: self.stride, :: self.stride])
        out: Tensor = self.activation(self.residual(images) + passed)
        return out


def resnet18(image_size: int, width: int, activation: Callable[[], nn.Module]) -> nn.Module:
    """ResNet-18 with the stem for small images: 3x3 first convolution, no first pooling.

    Four stages of two basic blocks with width/2, width, 2 width and 4 width channels, so that
    the default width of 128 is the usual 64 to 512; then the mean over pixels. Takes
    [n, 3, image_size, image_size] of any size, gives [n, 4 width]. UserError for a width
    under 2.

    Source: He et al. 2016 (arXiv:1512.03385, table 1), with the stem of SimCLR's CIFAR-10
    experiments (Chen et al. 2020, appendix B.9).
    """
    if width < 2:
        raise UserError(f"width {width} is too small for encoder 'resnet18': use 2 up")
    channels = width // 2
    layers: list[nn.Module] = [
        nn.Conv2d(3, channels, 3, padding=1, bias=False),
        nn.BatchNorm2d(channels),
        activation(),
    ]
    for outputs, stride in ((width // 2, 1), (width, 2), (2 * width, 2), (4 * width, 2)):
        layers += [
            BasicBlock(channels, outputs, stride, activation),
            BasicBlock(outputs, outputs, 1, activation),
        ]
        channels = outputs
    return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten())


ENCODERS: dict[str, Callable[[int, int, Callable[[], nn.Module]], nn.Module]] = {
    "convnet": convnet,
    "resnet18": resnet18,
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
