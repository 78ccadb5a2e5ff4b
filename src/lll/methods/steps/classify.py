"""Classify weak views of the labelled images with the linear probe."""

from __future__ import annotations

import torch

from lll.methods.losses.classify import cross_entropy
from lll.methods.steps.batch import Batch, Networks, StepOptions, StepResult, views_of


def classify(
    networks: Networks, batch: Batch, options: StepOptions, generator: torch.Generator
) -> StepResult | None:
    """Softmax cross-entropy of the probe's logits; None if the batch has no labelled image."""
    if not batch.all_labelled:
        return None
    views = views_of(batch.labelled, [batch.all_labelled], options.weak, generator, batch.processes)
    logits = networks["probe"](networks["encoder"](views))
    share = len(batch.targets) / batch.all_labelled
    right = (logits.detach().argmax(dim=1) == batch.targets).sum() / batch.all_labelled
    return StepResult(share * cross_entropy(logits, batch.targets)[None], {"train_accuracy": right})
