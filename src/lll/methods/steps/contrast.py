"""Contrast two strong views of every image, labelled or not, without labels."""

from __future__ import annotations

import torch

from lll.errors import lookup
from lll.methods.losses.contrast import CONTRASTS
from lll.methods.steps.batch import Batch, Networks, StepOptions, StepResult, views_of


def contrast(
    networks: Networks, batch: Batch, options: StepOptions, generator: torch.Generator
) -> StepResult | None:
    """Contrastive loss between two strong views of labelled and unlabelled images together.

    With several processes the negatives are the images of all of them.
    """
    pools = [batch.all_unlabelled, batch.all_labelled]
    if not sum(pools):
        return None
    images = torch.cat([batch.unlabelled, batch.labelled] * 2)
    views = views_of(images, pools * 2, options.strong, generator, batch.processes)
    first, second = (
        batch.gather(half, labelled=True, unlabelled=True)
        for half in networks["projection"](networks["encoder"](views)).chunk(2)
    )
    loss, accuracy = lookup(CONTRASTS, options.contrast, "contrast")(
        first, second, options.temperature
    )
    # Every process computes the whole loss, so each contributes its part of it.
    part = 1 / batch.processes.size
    return StepResult(part * loss[None], {"contrastive_accuracy": part * accuracy})
