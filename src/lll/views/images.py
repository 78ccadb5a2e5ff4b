"""Views of images in a minibatch: `lll.views.geometric`, weak and strong."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Float, Int, UInt8
from torch import Tensor

from lll.views.geometric import Strength, apply_views, draw_views
from lll.views.randaugment import apply_randaugment, draw_randaugment


@dataclass(frozen=True)
class ImageViews:
    """A fresh random view of each image, drawn from ``generator`` on the training device.

    Without ``strong_strength`` a strong view is one of `lll.views.randaugment`.
    """

    weak_strength: Strength
    strong_strength: Strength | None
    generator: torch.Generator

    def weak(
        self,
        inputs: UInt8[Tensor, "n 3 h w"],
        rows: Int[Tensor, " n"],
        total: int,
        mine: Int[Tensor, " n"] | None,
    ) -> Float[Tensor, "n 3 h w"]:
        """Weak views; ``mine`` are the places of ``inputs`` among the ``total`` of all ranks."""
        return self._see(inputs, total, mine, self.weak_strength)

    def strong(
        self,
        inputs: UInt8[Tensor, "n 3 h w"],
        rows: Int[Tensor, " n"],
        total: int,
        mine: Int[Tensor, " n"] | None,
    ) -> Float[Tensor, "n 3 h w"]:
        """Strong views, as in `weak`."""
        if self.strong_strength is None:
            draw = draw_randaugment(total, self.weak_strength, self.generator)
            return apply_randaugment(inputs, draw if mine is None else draw.take(mine))
        return self._see(inputs, total, mine, self.strong_strength)

    def _see(self, inputs: Tensor, total: int, mine: Tensor | None, strength: Strength) -> Tensor:
        views = draw_views(total, strength, self.generator)
        return apply_views(inputs, views if mine is None else views.take(mine))
