"""The unknown score of a network that was trained step by step: how unsure it is, as a rank."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn

from lll.nets.buffers import take_shapes

BUFFERS = ("known", "scores")


class Quantiles(nn.Module):
    """How many images of known classes is the network surer of than of this one?

    The score is one minus the greatest probability among ``known`` classes; what a network gives to
    outputs that no class has yet counts as unknown. ``scores`` [t], sorted, are those of images
    of known classes. At 0.95, 5 in 100 such images would be called unknown. Source: Bates et al.
    2023, "Testing for outliers with conformal p-values". Nothing is left out to learn how unknown
    images score, so it is no probability.
    """

    LIMIT = 0.95
    PROBABILITY = False

    known: Tensor
    scores: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("known", torch.zeros(0, dtype=torch.int64))
        self.register_buffer("scores", torch.zeros(0))

    @property
    def fitted(self) -> bool:
        """Whether it has been fitted."""
        return bool(len(self.scores))

    def fit(self, probabilities: Float[Tensor, "t c"], known: Sequence[int]) -> None:
        """Remember what images of ``known`` classes are given, none is as if never fitted."""
        self.known = torch.tensor(known, dtype=torch.int64, device=probabilities.device)
        self.scores = self._raw(probabilities).sort().values

    def of(
        self, encodings: Float[Tensor, "m d"], probabilities: Float[Tensor, "m c"]
    ) -> Float[Tensor, " m"]:
        """The share of images of known classes that are surer, between two of them in between."""
        ends = self.scores.new_tensor([0.0]), self.scores.new_tensor([1.0])
        at = torch.cat([ends[0], self.scores, ends[1]])
        raw = self._raw(probabilities.to(at))
        after = torch.searchsorted(at, raw).clamp(1, len(at) - 1)
        low, high = at[after - 1], at[after]
        part = ((raw - low) / (high - low).clamp(min=1e-12)).clamp(0, 1)
        return (after - 1 + part) / (len(at) - 1)

    def _raw(self, probabilities: Float[Tensor, "m c"]) -> Float[Tensor, " m"]:
        # A damaged file may hold any number; what is no output counts for nothing.
        known = self.known[(self.known >= 0) & (self.known < probabilities.shape[1])]
        none = torch.zeros_like(probabilities[:, :1])
        surest = torch.cat([none, probabilities[:, known]], dim=1).amax(dim=1)
        return torch.nan_to_num(1 - surest, nan=1.0)

    def _load_from_state_dict(self, state: dict[str, Any], prefix: str, *rest: Any) -> None:
        take_shapes(self, BUFFERS, state, prefix)
        super()._load_from_state_dict(state, prefix, *rest)
