"""A checkpoint as a value, to bytes and back; what is read is checked as a whole."""

from __future__ import annotations

import io
import pickle
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from itertools import chain
from typing import Annotated, Any

import safetensors.torch
import torch
from pydantic import AfterValidator, ConfigDict, Field, JsonValue, ValidationError
from torch import Tensor

from lll.errors import UserError
from lll.learn.position import Position
from lll.runs.schema import Count, Strict, complaint


@dataclass(frozen=True)
class Checkpoint:
    """Everything a run needs to go on.

    ``config`` is `RunConfig.to_dict`; ``weights`` the parameters and buffers by name;
    ``optimizers`` their state dictionaries by name; ``trace`` the losses [steps so far] of an
    epoch that is under way, and ``seconds`` its time so far.
    """

    position: Position
    config: dict[str, Any]
    weights: Mapping[str, Tensor]
    optimizers: dict[str, dict[str, Any]]
    trace: dict[str, Tensor] = field(default_factory=dict)
    seconds: float = 0.0


class NotACheckpointError(ValueError):
    """Bytes that hold something else; the message says what."""


def _dense(tensor: Tensor) -> Tensor:
    if tensor.layout != torch.strided or tensor.is_quantized or tensor.device.type != "cpu":
        raise ValueError("is not a plain tensor")
    return tensor


def _moment(value: Any) -> Any:
    # By hand: to pydantic a tensor of one number is a float.
    if isinstance(value, Tensor):
        return _dense(value)
    if not isinstance(value, float | int | None):
        raise ValueError("is neither a number nor a tensor")
    return value


def _series(tensor: Tensor) -> Tensor:
    if tensor.ndim != 1 or not tensor.is_floating_point():
        raise ValueError("is not a series of numbers")
    return tensor


_Tensor = Annotated[Tensor, AfterValidator(_dense)]


class _Lax(Strict):
    model_config = ConfigDict(extra="allow", arbitrary_types_allowed=True)


class _Position(Strict):
    epoch: Count
    step: Count


class _Group(_Lax):
    params: list[Count]


class _Optimizer(_Lax):
    state: dict[Count, dict[str, Annotated[Any, AfterValidator(_moment)]]]
    param_groups: list[_Group]


class _State(Strict):
    model_config = ConfigDict(arbitrary_types_allowed=True)

    position: _Position
    config: dict[str, JsonValue]
    optimizers: dict[str, _Optimizer]
    trace: dict[str, Annotated[_Tensor, AfterValidator(_series)]]
    seconds: Annotated[float, Field(ge=0)]


def weight_bytes(weights: Mapping[str, Tensor]) -> bytes:
    """``weights`` as a safetensors file."""
    return safetensors.torch.save({k: v.detach().cpu().contiguous() for k, v in weights.items()})


def weights_from(content: bytes) -> dict[str, Tensor]:
    """The tensors of a safetensors file; NotACheckpointError if it is none, or for NaN."""
    try:
        weights = safetensors.torch.load(content)
    except Exception as error:  # damaged bytes make the reader raise nearly anything
        raise NotACheckpointError(_first_line(error)) from None
    for name, tensor in weights.items():
        if tensor.is_floating_point() and tensor.isnan().any():
            raise NotACheckpointError(f"{name} holds NaN")
    return weights


def state_bytes(checkpoint: Checkpoint) -> bytes:
    """All of ``checkpoint`` but its weights, as plain values in torch's format."""
    state = {
        "position": {"epoch": checkpoint.position.epoch, "step": checkpoint.position.step},
        "config": checkpoint.config,
        "optimizers": checkpoint.optimizers,
        "trace": {name: losses.cpu() for name, losses in checkpoint.trace.items()},
        "seconds": checkpoint.seconds,
    }
    buffer = io.BytesIO()
    torch.save(state, buffer)
    return buffer.getvalue()


def checkpoint_from(content: bytes, weights: Mapping[str, Tensor]) -> Checkpoint:
    """What `state_bytes` wrote, with its ``weights``; NotACheckpointError for anything else."""
    try:
        state = torch.load(io.BytesIO(content), weights_only=True, map_location="cpu")
        _State.model_validate(state)
    except ValidationError as error:
        raise NotACheckpointError(complaint(error)) from None
    except pickle.UnpicklingError:
        # torch's own message tells how to load it nevertheless, which would run its code.
        raise NotACheckpointError("it is damaged or holds more than plain values") from None
    except Exception as error:  # as above
        raise NotACheckpointError(_first_line(error)) from None
    return Checkpoint(**(state | {"position": Position(**state["position"]), "weights": weights}))


# What an update needs to find, once there has been one.
_MOMENTS = {
    torch.optim.Adam: ("step", "exp_avg", "exp_avg_sq"),
    torch.optim.SGD: ("momentum_buffer",),
}


def check_optimizers(
    optimizers: Mapping[str, torch.optim.Optimizer], saved: Mapping[str, Any], where: str
) -> None:
    """UserError unless the ``saved`` state dictionaries are such as ``optimizers`` have."""
    if optimizers.keys() != saved.keys():
        raise UserError(f"{where}: the checkpoint is of other optimizers: begin a new run")
    for name, optimizer in optimizers.items():
        if misfit := _misfit(optimizer, saved[name]):
            raise UserError(
                f"{where}: the checkpoint does not fit optimizer {name!r} ({misfit}): "
                "go on from an earlier one with --checkpoint"
            )


def _misfit(optimizer: torch.optim.Optimizer, saved: Mapping[str, Any]) -> str | None:
    """What of ``saved`` does not belong to the optimizer's parameters; None if all does."""
    groups = [group["params"] for group in optimizer.param_groups]
    numbers = [group["params"] for group in saved["param_groups"]]
    if list(map(len, groups)) != list(map(len, numbers)):
        return "other groups of parameters"
    owner = dict(zip(chain(*numbers), chain(*groups), strict=True))
    if len(owner) != sum(map(len, groups)) or not owner.keys() >= saved["state"].keys():
        return "other numbers of parameters"
    moments = _MOMENTS.get(type(optimizer), ())
    for number, state in saved["state"].items():
        if state and not _is_state_of(owner[number], state, moments):
            return f"state {number} is not that of its parameter"
    return None


def _is_state_of(parameter: Tensor, state: Mapping[str, Any], moments: Iterable[str]) -> bool:
    """Whether an optimizer's ``state`` has the shapes of its parameter."""
    if not moments:
        return True
    if set(state) != set(moments) or not all(isinstance(v, Tensor) for v in state.values()):
        return False
    shapes = all(
        value.shape == (() if name == "step" else parameter.shape) for name, value in state.items()
    )
    return shapes and all(value.is_floating_point() for value in state.values())


def _first_line(error: Exception) -> str:
    return next(iter(str(error).splitlines()), type(error).__name__)
