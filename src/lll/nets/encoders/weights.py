"""Weights of an encoder from a file, and whether they are its own."""

from __future__ import annotations

from collections.abc import Mapping
from io import BytesIO
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from lll.errors import UserError


def read_weights(path: Path) -> Mapping[str, Tensor]:
    """The tensors by name in a safetensors file, or in one of ``torch.save``.

    The latter may hold them under ``state_dict``, beside other plain values. Pickled objects
    are never loaded. Raises UserError for a file that is not there or cannot be read.
    """
    try:
        content = path.read_bytes()
    except OSError as error:
        raise UserError(
            f"{path}: the weights cannot be read ({error.strerror}): check the path"
        ) from None
    if path.suffix == ".safetensors":
        return _from_safetensors(content, path)
    return _from_torch(content, str(path))


def _from_safetensors(content: bytes, path: Path) -> Mapping[str, Tensor]:
    import safetensors
    import safetensors.torch

    try:
        return safetensors.torch.load(content)
    except safetensors.SafetensorError as error:
        raise UserError(f"{path} is not a readable safetensors file ({error})") from error


def _from_torch(content: bytes, where: str) -> Mapping[str, Tensor]:
    try:
        loaded: Any = torch.load(BytesIO(content), map_location="cpu", weights_only=True)
    # A file of any other kind makes torch and pickle raise nearly anything.
    except Exception as error:
        raise UserError(
            f"{where} is neither safetensors nor a plain file of torch.save:"
            " save the state dict, with tensors only"
        ) from error
    tensors = loaded.get("state_dict", loaded) if isinstance(loaded, dict) else loaded
    if not isinstance(tensors, Mapping) or not all(map(torch.is_tensor, tensors.values())):
        raise UserError(f"{where} contains no state dict: save the module's state_dict()")
    return tensors


def fit_weights(
    module: nn.Module,
    weights: Mapping[str, Tensor],
    where: str,
    encoder: str,
    unused: tuple[str, ...] = (),
) -> None:
    """Load ``weights`` into ``module``; UserError that names the first one that does not fit.

    ``where`` they are from and the name of the ``encoder`` are for the error. Weights whose
    name starts with one of ``unused`` are left out.
    """
    wanted = module.state_dict()
    given = {name: value for name, value in weights.items() if not name.startswith(unused or "\0")}
    remedy = f"give weights of encoder {encoder!r}"
    missing = [name for name in wanted if name not in given and "num_batches" not in name]
    foreign = [name for name in given if name not in wanted]
    for names, what in ((missing, "lacks"), (foreign, "has unknown")):
        if names:
            raise UserError(f"{where} {what} {names[0]!r} ({len(names)} in all): {remedy}")
    for name, value in given.items():
        if value.shape != wanted[name].shape:
            raise UserError(
                f"{where}: {name!r} has shape {list(value.shape)} instead of"
                f" {list(wanted[name].shape)}: {remedy}"
            )
    module.load_state_dict(given, strict=False)
