"""The teacher: a running average of networks, that answers in their place."""

from __future__ import annotations

import copy
from collections.abc import Iterable, Mapping

import torch
from jaxtyping import Float
from torch import Tensor, nn


def kept(updates: Float[Tensor, ""], decay: float) -> Float[Tensor, ""]:
    """The share of itself that a running average keeps after so many ``updates``.

    ``min(decay, t / (9 + t))``, so that what it began with does not weigh on a short run; the
    ramp is that of TensorFlow's ExponentialMovingAverage.
    """
    return (updates / (9 + updates)).clamp(max=decay)


class Average(nn.Module):
    """An exponential moving average of the parts called ``of``, under the same names.

    Parameters are averaged, with the share that `kept` gives; buffers, as the statistics of
    batch norm, are those of the part itself.

    Source: mean teacher (Tarvainen & Valpola 2017, arXiv:1703.01780, section 2).
    """

    def __init__(self, of: Iterable[str], decay: float) -> None:
        super().__init__()
        self.of, self.decay = tuple(of), decay
        self.updates: Tensor
        self.register_buffer("updates", torch.zeros(()))

    def follow(self, parts: Mapping[str, nn.Module]) -> None:
        """Begin as copies of ``parts``; of a part that has grown, with what is averaged so far."""
        for name in self.of:
            fresh = copy.deepcopy(parts[name]).requires_grad_(False)
            if name in self._modules:
                _fill(fresh, self.get_submodule(name))
            self.add_module(name, fresh)

    @torch.no_grad()
    def update(self, parts: Mapping[str, nn.Module]) -> None:
        """Take in the weights of ``parts`` as they are now."""
        new = 1 - kept(self.updates, self.decay)
        for name in self.of:
            mine, theirs = self.get_submodule(name), parts[name]
            for own, parameter in zip(mine.parameters(), theirs.parameters(), strict=True):
                own.lerp_(parameter, new)
            for buffer, value in zip(mine.buffers(), theirs.buffers(), strict=True):
                buffer.copy_(value)
        self.updates += 1


def _fill(grown: nn.Module, old: nn.Module) -> None:
    """Put the values of ``old`` in front of those that ``grown`` has gained."""
    new = grown.state_dict()
    for name, value in old.state_dict().items():
        new[name][tuple(slice(size) for size in value.shape)].copy_(value)
