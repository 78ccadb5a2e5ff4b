"""WRN-28-2: the wide residual network of the semi-supervised papers."""

from __future__ import annotations

from torch import Tensor, nn

from lll.errors import UserError
from lll.nets.encoders.encoder import Activation, Encoder

BLOCKS = 4  # in each of three groups: 28 = 6 * 4 + 4 layers


class PreActivated(nn.Module):
    """Two 3x3 convolutions, each after batch norm and activation, added to the input.

    Takes [n, inputs, h, w], gives [n, outputs, h / stride, w / stride]. Where the shape changes,
    the activated input passes a 1x1 convolution instead.

    Source: He et al. 2016 (arXiv:1603.05027, figure 1b).
    """

    def __init__(self, inputs: int, outputs: int, stride: int, activation: Activation) -> None:
        super().__init__()
        self.first = nn.Sequential(nn.BatchNorm2d(inputs), activation())
        self.residual = nn.Sequential(
            nn.Conv2d(inputs, outputs, 3, stride, padding=1, bias=False),
            nn.BatchNorm2d(outputs),
            activation(),
            nn.Conv2d(outputs, outputs, 3, padding=1, bias=False),
        )
        self.stride = stride
        changes = stride != 1 or inputs != outputs
        self.shortcut = nn.Conv2d(inputs, outputs, 1, bias=False) if changes else None

    def forward(self, images: Tensor) -> Tensor:
        """Feature maps [n, outputs, h', w']."""
        active = self.first(images)
        if self.shortcut is not None:  # strided by hand: see `lll.nets.encoders.resnet18`
            images = self.shortcut(active[:, :, :: self.stride, :: self.stride])
        out: Tensor = images + self.residual(active)
        return out


def wrn_28_2(image_size: int, width: int, activation: Activation) -> nn.Module:
    """Three groups of four blocks with width/4, width/2 and width channels; the mean over pixels.

    The default width of 128 gives the usual 1.5 million weights. Takes
    [n, 3, image_size, image_size] of any size, gives [n, width]. UserError for a width under 8.

    Source: Zagoruyko & Komodakis 2016 (arXiv:1605.07146, table 1), k = 2.
    """
    if width < 8:
        raise UserError(f"width {width} is too small for encoder 'wrn-28-2': use 8 or more")
    channels = width // 8
    layers: list[nn.Module] = [nn.Conv2d(3, channels, 3, padding=1, bias=False)]
    for outputs, stride in ((width // 4, 1), (width // 2, 2), (width, 2)):
        for number in range(BLOCKS):
            layers.append(PreActivated(channels, outputs, 1 if number else stride, activation))
            channels = outputs
    last = [nn.BatchNorm2d(channels), activation(), nn.AdaptiveAvgPool2d(1), nn.Flatten()]
    return nn.Sequential(*layers, *last)


WRN_28_2 = Encoder(
    name="wrn-28-2",
    description="wide residual network of 28 layers, as in FixMatch and its kin",
    build=wrn_28_2,
    features=128,
    size=32,
    sizes=(1, 1024),
)
