"""The optimizers of a learner, one for each learning rate, and their memory."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from lll.config import RunConfig
from lll.ranks import Ranks

Optimizers = Mapping[str, torch.optim.Optimizer]


def new_optimizers(
    parts: Mapping[str, nn.Module], config: RunConfig
) -> dict[str, torch.optim.Optimizer]:
    """An optimizer by name for each of the owners of ``parts`` that has something to move."""
    owned: dict[str, list[nn.Parameter]] = {}
    for name, part in parts.items():
        owned.setdefault(config.how.owner(name), []).extend(
            p for p in part.parameters() if p.requires_grad
        )
    build = BUILDERS[config.optimizer]
    return {owner: build(mine, config.weight_decay) for owner, mine in owned.items() if mine}


def _adam(parameters: list[nn.Parameter], decay: float) -> torch.optim.Optimizer:
    if (device := parameters[0].device).type != "cuda":
        return torch.optim.Adam(parameters, fused=True)
    return torch.optim.Adam(parameters, lr=_rate_on(device), fused=True, capturable=True)


def _sgd(parameters: list[nn.Parameter], decay: float) -> torch.optim.Optimizer:
    """Nesterov momentum 0.9; ``decay`` is not of biases and of what batch norm learns."""
    groups = [
        {"params": [p for p in parameters if p.dim() > 1], "weight_decay": decay},
        {"params": [p for p in parameters if p.dim() <= 1], "weight_decay": 0.0},
    ]
    return torch.optim.SGD(
        [group for group in groups if group["params"]],
        lr=_rate_on(parameters[0].device),
        momentum=0.9,
        nesterov=True,
        fused=True,
    )


def _rate_on(device: torch.device) -> float | Tensor:
    """A rate to begin with; on a GPU on the device, so that a recorded step reads it anew."""
    return torch.tensor(1e-3, device=device) if device.type == "cuda" else 1e-3


BUILDERS = {"adam": _adam, "sgd": _sgd}


def load_states(optimizers: Optimizers, saved: Mapping[str, Any]) -> None:
    """Take the moments and counts of ``saved``, and no setting: it may be of another device.

    A row that a part has gained since begins with moments at zero.
    """
    for name, optimizer in optimizers.items():
        groups, states = [], {}
        for own, other in zip(optimizer.param_groups, saved[name]["param_groups"], strict=True):
            groups.append({**own, "params": other["params"]})
            for number, parameter in zip(other["params"], own["params"], strict=True):
                if number in saved[name]["state"]:
                    states[number] = _padded(saved[name]["state"][number], parameter)
        optimizer.load_state_dict({"state": states, "param_groups": groups})


def _padded(state: Mapping[str, Any], parameter: Tensor) -> dict[str, Any]:
    """The optimizer's memory of a parameter, with zero rows for the outputs it has gained."""
    out = {}
    for key, value in state.items():
        if isinstance(value, Tensor) and value.dim() and len(value) < len(parameter):
            rows = value.new_zeros(len(parameter) - len(value), *value.shape[1:])
            value = torch.cat([value, rows])
        out[key] = value
    return out


def own_states(optimizers: Optimizers, saved: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """``saved`` without parts that version 0.1 kept though the method never moved them.

    They stand last in their optimizer.
    """
    kept: dict[str, dict[str, Any]] = {}
    for name, state in saved.items():
        if name not in optimizers:
            continue
        counts = [len(group["params"]) for group in optimizers[name].param_groups]
        groups = [
            {**group, "params": group["params"][:count]}
            for group, count in zip(state["param_groups"], counts, strict=False)
        ]
        numbers = {number for group in groups for number in group["params"]}
        states = {n: value for n, value in state["state"].items() if n in numbers}
        kept[name] = {"state": states, "param_groups": groups}
    return kept


def summed(
    gradient: Sequence[Tensor | None], reached: Sequence[nn.Parameter], ranks: Ranks
) -> Sequence[Tensor | None]:
    """``gradient``, one entry for each of ``reached``, summed over ``ranks`` in one message."""
    if ranks.alone:
        return gradient
    parts = [
        torch.zeros_like(parameter) if part is None else part
        for part, parameter in zip(gradient, reached, strict=True)
    ]
    flat = ranks.add(torch.cat([part.reshape(-1) for part in parts]))
    sizes = [part.numel() for part in parts]
    # Laid out as the parameters are, channels-last: a fused optimizer goes by memory alone.
    return [
        torch.empty_like(parameter).copy_(part.view(parameter.shape))
        for part, parameter in zip(torch.split(flat, sizes), reached, strict=True)
    ]


def clipped(gradient: Sequence[Tensor | None], most: float | None) -> Sequence[Tensor | None]:
    """``gradient``, shortened to length ``most`` if it is longer (Pascanu et al. 2013)."""
    parts = [part for part in gradient if part is not None]
    if most is None or not parts:
        return gradient
    length = torch.stack([part.norm() for part in parts]).norm()
    scale = (most / length.clamp(min=1e-12)).clamp(max=1.0)
    return [part if part is None else part * scale for part in gradient]
