"""Contrast two strong views of every image, labelled or not, without labels."""

from __future__ import annotations

import torch
from torch import nn

from lll.augment import random_views
from lll.losses.contrast import CONTRASTS
from lll.steps.batch import Batch, StepOptions, StepResult
from lll.types import lookup


def contrast(
    modules: nn.ModuleDict, batch: Batch, options: StepOptions, generator: torch.Generator
) -> StepResult | None:
    """Contrastive loss between two strong views of labelled and unlabelled images together."""
    images = torch.cat([batch.unlabelled, batch.labelled])
    if not len(images):
        return None
    both = random_views(torch.cat([images, images]), options.strong, generator)
    first, second = modules["projection"](modules["encoder"](both)).chunk(2)
    loss, accuracy = lookup(CONTRASTS, options.contrast, "contrast")(
        first, second, options.temperature
    )
    return StepResult(loss[None], {"contrastive_accuracy": accuracy})
