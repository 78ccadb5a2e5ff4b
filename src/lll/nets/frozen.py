"""An encoder that only encodes: as fast as the processor can, and known by its weights."""

from __future__ import annotations

import copy
import hashlib
import re
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor, nn

from lll.errors import UserError
from lll.nets.encoders import ACTIVATIONS, find_encoder
from lll.nets.encoders.encoder import Pretraining
from lll.nets.fusion import FusedConv, fold, fuse

WIDTH = 128  # of encoders that come in any
LARGEST = float(np.finfo(np.float16).max)


@dataclass(frozen=True)
class Frozen:
    """The encoder ``name`` for images of ``size`` pixels a side; made by `freeze`.

    It gives ``width`` features, of which the first ``last`` are those of its last layer. ``hash``
    stands for all that decides their values: the layers, the weights, and whether it computes in
    bfloat16 (``half``). ``pretraining`` is as in `lll.nets.encoders.encoder.Encoder`.
    """

    name: str
    size: int
    width: int
    last: int
    hash: str
    half: bool
    device: torch.device
    net: nn.Module
    pretraining: Pretraining | None = None

    def __call__(self, images: Float[Tensor, "n 3 h w"]) -> Float[Tensor, "n d"]:
        """Features of ``images`` in [0, 1], as float32; UserError for NaN and huge ones."""
        images = images.to(self.device).contiguous(memory_format=torch.channels_last)
        with torch.inference_mode(), torch.autocast(self.device.type, torch.bfloat16, self.half):
            features: Tensor = self.net(images).float()
        if not bool((features.abs() <= LARGEST).all()):  # false for NaN too
            raise UserError(
                f"encoder {self.name!r} gives features that are NaN or above {LARGEST:g}:"
                " choose another encoder or other weights"
            )
        return features


def frozen_encoder(
    name: str,
    size: int | None = None,
    weights: Path | None = None,
    *,
    device: torch.device | str = "cpu",
) -> Frozen:
    """The pretrained encoder called ``name``, frozen, for images of ``size`` (None: its own).

    ``weights`` is a file of weights in place of those that it comes with. Raises UserError
    without either, and as `lll.nets.encoders.Encoder.module` does.
    """
    size, module = pretrained(name, size, weights)
    encoder = find_encoder(name)
    told = encoder.pretraining() if encoder.pretraining and weights is None else None
    return replace(freeze(module, name, size, device=device, last=encoder.last), pretraining=told)


def pretrained(
    name: str, size: int | None = None, weights: Path | None = None
) -> tuple[int, nn.Module]:
    """The encoder of `frozen_encoder` before it is frozen, and its size; raises as that does."""
    encoder = find_encoder(name)
    if weights is None and not encoder.pretrained:
        raise UserError(
            f"encoder {name!r} has no pretrained weights: give --weights FILE,"
            " or take a pretrained one (see `lll encoders`)"
        )
    size = encoder.size if size is None else size
    return size, encoder.module(size, WIDTH, ACTIVATIONS["relu"], weights)


def parted(
    name: str, size: int, weights: Path | None, count: int
) -> tuple[nn.Module, nn.Module, int]:
    """What stays frozen of the encoder ``name``, its last ``count`` blocks, and their width.

    The first takes images to features, which are the maps between the two, flat; the second takes
    those to encodings [n, width]. Its batch norm is folded: a few images say little of their
    statistics. Raises as `frozen_encoder` does, and for an encoder that cannot be parted.
    """
    encoder = find_encoder(name)
    if encoder.split is None:
        raise UserError(f"unfreeze: encoder {name!r} cannot be trained in part: leave it out")
    size, whole = pretrained(name, size, weights)
    before, after = encoder.split(list(whole.children())[-1], count)
    normalise = list(whole.children())[:-1]
    front = nn.Sequential(*normalise, *before).eval()
    with torch.inference_mode():
        maps = front(torch.zeros(1, 3, size, size))
    tail = nn.Sequential(nn.Unflatten(1, maps.shape[1:]), *after).eval()
    flat = maps.flatten(1)
    fold(tail, flat)
    tail.requires_grad_(True)
    with torch.inference_mode():
        width = tail(flat).shape[1]
    return nn.Sequential(*front, nn.Flatten()), tail, width


def freeze(
    encoder: nn.Module,
    name: str,
    size: int,
    *,
    device: torch.device | str = "cpu",
    half: bool | None = None,
    last: int | None = None,
) -> Frozen:
    """A copy of ``encoder`` ([n, 3, size, size] floats in [0, 1] to [n, d]) made for encoding.

    In evaluation mode, with batch norm folded into the convolutions before it, channels-last,
    and with ``half`` in bfloat16 (None: where the processor has it). ``last`` is as in `Frozen`,
    None for all features.
    """
    device = torch.device(device)
    half = has_bfloat16(device) if half is None else half
    net = copy.deepcopy(encoder).eval().requires_grad_(False).to("cpu", torch.float32)
    example = torch.rand(2, 3, size, size, generator=torch.Generator().manual_seed(0))
    with torch.inference_mode():
        features = net(example)
    if features.ndim != 2:
        raise UserError(f"the encoder must give features [n, d], not {list(features.shape)}")
    for faster in (fold, fuse) if device.type == "cpu" else (fold,):
        net = _if_equal(faster, net, example, features)
    # torch's type stubs do not know this overload.
    net = net.to(device, memory_format=torch.channels_last)  # type: ignore[call-overload]
    if half:
        for part in net.modules():
            # The layers that bfloat16 is for; converted once, and not at every batch.
            if isinstance(part, nn.Conv2d | nn.Linear | FusedConv):
                part.bfloat16()
    return Frozen(
        name=name,
        size=size,
        width=features.shape[1],
        last=features.shape[1] if last is None else last,
        hash=_hash(encoder, half),
        half=half,
        device=device,
        net=net,
    )


def has_bfloat16(device: torch.device) -> bool:
    """Whether ``device`` is made to compute in bfloat16."""
    if device.type == "cuda":
        return bool(torch.cuda.is_bf16_supported(including_emulation=False))
    able = torch.cpu.get_capabilities() if hasattr(torch.cpu, "get_capabilities") else {}
    return any(able.get(name, False) for name in ("amx_bf16", "avx512_bf16", "bf16"))


def _if_equal(
    faster: Callable[[nn.Module, Tensor], None], net: nn.Module, example: Tensor, features: Tensor
) -> nn.Module:
    """``net`` after ``faster`` changed it, if it still gives ``features`` of ``example``.

    Else as it was: modules from elsewhere may hold their layers in another order than they use
    them, and processors differ in what they can.
    """
    changed = copy.deepcopy(net)
    try:
        with torch.no_grad():
            faster(changed, example)
            near = (changed(example) - features).abs() <= 1e-3 * features.abs().max()
    except (RuntimeError, AttributeError):  # of a torch without the call
        return net
    return changed if bool(near.all()) else net


def _hash(encoder: nn.Module, half: bool) -> str:
    layers = re.sub(r" at 0x[0-9a-f]+", "", repr(encoder))  # places in memory
    digest = hashlib.blake2b(f"{layers}\0{half}".encode(), digest_size=8)
    for name, value in [*encoder.named_parameters(), *encoder.named_buffers()]:
        array = value.detach().cpu().contiguous()
        digest.update(f"{name}\0{array.dtype}\0{list(array.shape)}\0".encode())
        digest.update(array.reshape(-1).view(torch.uint8).numpy().data)
    return digest.hexdigest()
