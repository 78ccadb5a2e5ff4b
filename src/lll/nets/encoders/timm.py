"""Any encoder of timm, as ``timm:NAME``; timm is an extra."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torch import Tensor, nn

from lll.errors import UserError, nearest
from lll.nets.encoders.encoder import Activation, Encoder

PREFIX = "timm:"


def timm_encoder(name: str) -> Encoder:
    """The model ``name`` of timm without its classifier; weights through timm's own cache.

    Raises UserError without timm or torchvision, and for a name that timm does not know.
    """
    timm = _timm(name)
    if not timm.is_model(name):
        raise UserError(f"unknown encoder '{PREFIX}{name}': {nearest(name, timm.list_models())}")

    def build(size: int, width: int, activation: Activation) -> nn.Module:
        model: nn.Module = timm.create_model(name, num_classes=0)
        return model

    def weights() -> Mapping[str, Tensor]:
        try:
            model: nn.Module = timm.create_model(name, pretrained=True, num_classes=0)
        # The hub's errors for a network that is away have no common class.
        except Exception as error:
            reason = next(iter(str(error).splitlines()), type(error).__name__)
            raise UserError(
                f"the weights of '{PREFIX}{name}' cannot be fetched ({reason}):"
                " connect to the network, or give --weights FILE"
            ) from error
        return model.state_dict()

    config = timm.get_pretrained_cfg(name)
    native = int(config.input_size[-1])
    return Encoder(
        name=PREFIX + name,
        description=f"{name} of timm",
        build=build,
        features=int(build(native, 0, nn.Identity).num_features),  # type: ignore[arg-type]
        size=native,
        sizes=(native, native) if config.fixed_input_size else (32, 1024),
        licence=config.license or "see timm's model card",
        mean=config.mean,
        std=config.std,
        weights=weights if config.has_weights else None,
        unused=_prefixes(config.classifier),
    )


def _timm(name: str) -> Any:
    try:
        import timm
    except ImportError as error:
        absent = "timm" if error.name == "timm" else f"timm needs {error.name}, which"
        raise UserError(
            f"encoder '{PREFIX}{name}': {absent} is not installed:"
            " pip install 'little-label-learners[timm]'"
        ) from error
    except RuntimeError as error:  # torchvision was made for another torch
        raise UserError(
            f"encoder '{PREFIX}{name}': timm cannot be loaded ({error}):"
            " install the torchvision that fits your torch"
        ) from error
    return timm


def _prefixes(classifier: str | tuple[str, ...] | None) -> tuple[str, ...]:
    names = (classifier,) if isinstance(classifier, str) else classifier or ()
    return tuple(name + "." for name in names)
