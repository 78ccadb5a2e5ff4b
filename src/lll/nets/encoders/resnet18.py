"""ResNet-18 with the stem for small images."""

from __future__ import annotations

from torch import Tensor, nn

from lll.errors import UserError
from lll.nets.encoders.encoder import Activation, Encoder


class BasicBlock(nn.Module):
    """Two 3x3 convolutions with batch norm, added to the input (He et al. 2016, figure 2).

    Takes [n, inputs, h, w], gives [n, outputs, h / stride, w / stride]. Where the shape changes
    the input passes a 1x1 convolution with batch norm (their option B).
    """

    def __init__(self, inputs: int, outputs: int, stride: int, activation: Activation) -> None:
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


def resnet18(image_size: int, width: int, activation: Activation) -> nn.Module:
    """ResNet-18 with the stem for small images: 3x3 first convolution, no first pooling.

    Four stages of two basic blocks with width/2, width, 2 width and 4 width channels, so that
    the default width of 128 is the usual 64 to 512; then the mean over pixels. Takes
    [n, 3, image_size, image_size] of any size, gives [n, 4 width]. UserError for a width
    under 2.

    Source: He et al. 2016 (arXiv:1512.03385, table 1), with the stem of SimCLR's CIFAR-10
    experiments (Chen et al. 2020, appendix B.9).
    """
    if width < 2:
        raise UserError(f"width {width} is too small for encoder 'resnet18': use 2 or more")
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


RESNET18 = Encoder(
    name="resnet18",
    description="ResNet-18 with the stem for small images",
    build=resnet18,
    features=512,
    size=32,
    sizes=(1, 1024),
)
