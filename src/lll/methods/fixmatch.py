"""``fixmatch``: guesses that are sure enough on a weak view are the labels of a strong one.

Use it where a GPU trains on small images for hours, with few labels from the start: published
results come from hundreds of thousands of steps.

Source: Sohn et al. 2020 (arXiv:2001.07685), algorithm 1.
"""

from __future__ import annotations

from pydantic import Field

from lll.methods.batch import Batch
from lll.methods.consistency import (
    AVERAGE,
    ConsistencyOptions,
    answers,
    defaults,
    look,
    losses,
    parts,
)
from lll.methods.method import Losses, Method, Nets, Step


class FixMatchOptions(ConsistencyOptions):
    """Options of ``fixmatch``."""

    threshold: float = Field(
        0.95,
        ge=0,
        lt=1,
        description="least probability of a guess that is learned from; try 0.8 in short runs",
    )


def fixmatch(nets: Nets, batch: Batch, options: FixMatchOptions) -> Losses:
    """The two losses with w = 1 where ``max p(weak) >= threshold``, p aligned, else 0 (eq. 4)."""
    seen = look(nets, batch, options)
    sure = seen.aligned.amax(dim=1) >= options.threshold
    return losses(batch, seen, sure.to(seen.aligned.dtype), options)


METHOD = Method(
    summary="sure guesses on weak views are the labels of strong ones (FixMatch)",
    options=FixMatchOptions,
    parts=parts,
    stages=lambda options: ((Step("fixmatch", fixmatch, ("encoder", "probe")), AVERAGE),),
    answers=answers,
    defaults=defaults,
)
