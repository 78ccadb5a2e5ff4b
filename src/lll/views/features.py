"""Views of cached features: the encoder has seen a few views of each image already."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor


@dataclass(frozen=True)
class FeatureViews:
    """The weak view is the feature itself; the strong one a cached view, drawn for each row.

    ``cached`` [v, n, d] holds v views of the n rows of the training set. Without any, the
    feature itself stands in.
    """

    cached: Float[Tensor, "v n d"]
    generator: torch.Generator

    def weak(
        self, inputs: Float[Tensor, "m d"], rows: Int[Tensor, " m"], total: int, mine: Tensor | None
    ) -> Float[Tensor, "m d"]:
        """The features as they are."""
        return inputs.float()

    def strong(
        self, inputs: Float[Tensor, "m d"], rows: Int[Tensor, " m"], total: int, mine: Tensor | None
    ) -> Float[Tensor, "m d"]:
        """For each row one of its cached views."""
        count = len(self.cached)
        if not count:
            return inputs.float()
        device = self.generator.device
        drawn = torch.randint(count, (total,), generator=self.generator, device=device)
        return self.cached[drawn if mine is None else drawn[mine], rows].float()
