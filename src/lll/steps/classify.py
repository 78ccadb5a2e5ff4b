"""Classify weak views of the labelled images with the linear probe."""

from __future__ import annotations

import torch
from torch import nn

from lll.augment import random_views
from lll.losses.classify import cross_entropy
from lll.steps.batch import Batch, StepOptions, StepResult


def classify(
    modules: nn.ModuleDict, batch: Batch, options: StepOptions, generator: torch.Generator
) -> StepResult | None:
    """Softmax cross-entropy of the probe's logits; None if the batch has no labelled image."""
    if not len(batch.targets):
        return None
    logits = modules["probe"](
        modules["encoder"](random_views(batch.labelled, options.weak, generator))
    )
    right = (logits.detach().argmax(dim=1) == batch.targets).float().mean()
    return StepResult(cross_entropy(logits, batch.targets)[None], {"train_accuracy": right})
