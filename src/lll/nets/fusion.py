"""Layers of a network that only encodes, joined: fewer passes over the feature maps.

Measured with `efficientnet_lite2` at 128 pixels in bfloat16: joining an activation with its
convolution makes encoding more than twice as fast, for it is memory that a CPU waits for.
"""

from __future__ import annotations

from itertools import pairwise

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

from lll.nets.encoders.efficientnet_lite import SameConv

# What oneDNN calls an activation, and its numbers.
ACTIVATIONS: dict[type[nn.Module], tuple[str, list[float]]] = {
    nn.ReLU: ("relu", []),
    nn.ReLU6: ("hardtanh", [0.0, 6.0]),
}


def fold(net: nn.Module, example: Tensor) -> None:
    """Put each batch norm into the convolution that is listed before it, in place."""
    for part in list(net.modules()):
        for (name, before), (after, norm) in pairwise(part.named_children()):
            if not (isinstance(before, nn.Conv2d) and type(norm) is nn.BatchNorm2d):
                continue
            if before.out_channels == norm.num_features and norm.running_mean is not None:
                setattr(part, name, fuse_conv_bn_eval(before, norm))
                setattr(part, after, nn.Identity())


def fuse(net: nn.Module, example: Tensor) -> None:
    """Put each activation into the convolution before it, in place; CPUs only.

    In containers that run their parts in order (`nn.Sequential`), for images like ``example``.
    """
    sides = _sides(net, example)
    for part in list(net.modules()):
        if not isinstance(part, nn.Sequential):
            continue
        layers = [(n, m) for n, m in part.named_children() if not isinstance(m, nn.Identity)]
        for (name, layer), (after, follower) in pairwise([*layers, ("", nn.Identity())]):
            if isinstance(layer, nn.Conv2d) and layer in sides and _is_plain(layer):
                joined = type(follower) in ACTIVATIONS
                setattr(part, name, FusedConv(layer, sides[layer], follower if joined else None))
                if joined:
                    setattr(part, after, nn.Identity())


def _sides(net: nn.Module, example: Tensor) -> dict[nn.Module, int]:
    """The side in pixels of what each convolution is given."""
    sides: dict[nn.Module, int] = {}

    def note(layer: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> None:
        sides[layer] = inputs[0].shape[-1]

    convolutions = [part for part in net.modules() if isinstance(part, nn.Conv2d)]
    hooks = [layer.register_forward_hook(note) for layer in convolutions]
    net(example)
    for hook in hooks:
        hook.remove()
    return sides


def _is_plain(layer: nn.Conv2d) -> bool:
    known = type(layer) in (nn.Conv2d, SameConv)
    return known and layer.padding_mode == "zeros" and not isinstance(layer.padding, str)


class FusedConv(nn.Module):
    """A convolution with its activation in one call of oneDNN, for inputs of ``side`` pixels.

    The call is the one that torch's compiler makes; it has no public name in torch.
    """

    def __init__(self, layer: nn.Conv2d, side: int, activation: nn.Module | None) -> None:
        super().__init__()
        weight, padding = layer.weight, tuple(map(int, layer.padding))
        if isinstance(layer, SameConv):
            total = layer.total_padding(side)
            # An odd padding is even for a kernel with a row and a column of zeros in front.
            weight = F.pad(weight, (total % 2, 0, total % 2, 0))
            padding = ((total + 1) // 2,) * 2
        bias = torch.zeros(layer.out_channels) if layer.bias is None else layer.bias
        self.weight = nn.Parameter(weight.detach(), requires_grad=False)
        self.bias = nn.Parameter(bias.detach(), requires_grad=False)
        self._shape = (padding, layer.stride, layer.dilation, layer.groups)
        self._act = ("none", []) if activation is None else ACTIVATIONS[type(activation)]

    def forward(self, images: Tensor) -> Tensor:
        """Feature maps after the activation."""
        images = images.to(self.weight.dtype)
        call = torch.ops.mkldnn._convolution_pointwise
        out: Tensor = call(images, self.weight, self.bias, *self._shape, *self._act, "")
        return out
