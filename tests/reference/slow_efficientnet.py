"""Slow twin of EfficientNet-Lite2: read off the published weights, one explicit sum after another.

It shares no code with the encoder: padding, batch norm and the order of layers are written
out from the state dict alone.
"""

from collections.abc import Mapping

import torch
import torch.nn.functional as F
from torch import Tensor

# the blocks (of 21) whose depthwise convolution has stride 2
STRIDE_2 = {1, 4, 7, 15}
# the last blocks of the fifth and of the sixth stage
TOLD = (14, 19)


def logits(weights: Mapping[str, Tensor], images: Tensor) -> Tensor:
    """Logits [n, 1000] of pixels in [0, 1], [n, 3, h, w], in double precision."""
    return both(weights, images)[0]


def both(weights: Mapping[str, Tensor], images: Tensor) -> tuple[Tensor, Tensor]:
    """The logits, and what the middle maps hold above and below zero, a mean over pixels."""
    w = {key: value.double() for key, value in weights.items()}
    middle = []
    x = (images.double() * 255 - 127) / 128
    x = relu6(batch_norm(w, "_bn0", conv(x, w["_conv_stem.weight"], 2)))
    for i in range(1 + max(int(key.split(".")[1]) for key in w if key.startswith("_blocks"))):
        x = block(w, f"_blocks.{i}", x, 2 if i in STRIDE_2 else 1)
        if i in TOLD:
            for side in (torch.maximum(x, x * 0), -torch.minimum(x, x * 0)):
                middle.append(side.sum((2, 3)) / (x.shape[2] * x.shape[3]))
    x = relu6(batch_norm(w, "_bn1", conv(x, w["_conv_head.weight"], 1)))
    x = x.sum((2, 3)) / (x.shape[2] * x.shape[3])
    return x @ w["_fc.weight"].T + w["_fc.bias"], torch.cat(middle, dim=1)


def block(w: Mapping[str, Tensor], name: str, x: Tensor, stride: int) -> Tensor:
    y = x
    if f"{name}._expand_conv.weight" in w:
        y = relu6(batch_norm(w, f"{name}._bn0", conv(y, w[f"{name}._expand_conv.weight"], 1)))
    depthwise = w[f"{name}._depthwise_conv.weight"]
    y = relu6(batch_norm(w, f"{name}._bn1", conv(y, depthwise, stride, groups=len(depthwise))))
    y = batch_norm(w, f"{name}._bn2", conv(y, w[f"{name}._project_conv.weight"], 1))
    return x + y if x.shape == y.shape else y


def conv(x: Tensor, weight: Tensor, stride: int, groups: int = 1) -> Tensor:
    """TensorFlow's SAME: output ceil(side / stride), the smaller half of the padding first."""
    kernel = weight.shape[-1]
    pads = []
    for side in (x.shape[3], x.shape[2]):
        out = -(-side // stride)
        total = max((out - 1) * stride + kernel - side, 0)
        pads += [total // 2, total - total // 2]
    return F.conv2d(F.pad(x, pads), weight, stride=stride, groups=groups)


def batch_norm(w: Mapping[str, Tensor], name: str, x: Tensor) -> Tensor:
    shape = (1, -1, 1, 1)
    centred = x - w[f"{name}.running_mean"].reshape(shape)
    scale = w[f"{name}.weight"] / torch.sqrt(w[f"{name}.running_var"] + 1e-3)
    return centred * scale.reshape(shape) + w[f"{name}.bias"].reshape(shape)


def relu6(x: Tensor) -> Tensor:
    return torch.minimum(torch.relu(x), torch.tensor(6.0, dtype=x.dtype))
