"""The sandbox's extra encoder step: encode weak views of both pools and apply a rule."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from lll.augment import random_views
from lll.steps.batch import Batch, StepFunction, StepOptions, StepResult


@dataclass(frozen=True)
class RuleInputs:
    """What a rule may look at: encodings of both pools, the labels, the pseudo probe."""

    unlabelled: Float[Tensor, "u d"]
    labelled: Float[Tensor, "l d"]
    targets: Int[Tensor, " l"]
    pseudo_probe: Callable[[Tensor], Tensor]
    options: StepOptions


RuleLoss = Callable[[RuleInputs], Tensor]
"""A rule's loss: a scalar for one update, or [k] for one update each."""


def sandbox_step(loss: RuleLoss) -> StepFunction:
    """The step that applies ``loss``; it does nothing where either pool is missing."""

    def run(
        modules: nn.ModuleDict, batch: Batch, options: StepOptions, generator: torch.Generator
    ) -> StepResult | None:
        if not len(batch.targets) or not len(batch.unlabelled):
            return None
        images = torch.cat([batch.unlabelled, batch.labelled])
        encodings = modules["encoder"](random_views(images, options.weak, generator))
        unlabelled, labelled = encodings.split([len(batch.unlabelled), len(batch.targets)])
        inputs = RuleInputs(unlabelled, labelled, batch.targets, modules["pseudo_probe"], options)
        return StepResult(loss(inputs).reshape(-1))

    return run
