"""The sandbox's extra encoder step: encode weak views of both pools and apply a rule."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor

from lll.methods.steps.batch import Batch, Networks, StepFunction, StepOptions, StepResult, views_of


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
        networks: Networks, batch: Batch, options: StepOptions, generator: torch.Generator
    ) -> StepResult | None:
        if not batch.all_labelled or not batch.all_unlabelled:
            return None
        images = torch.cat([batch.unlabelled, batch.labelled])
        pools = [batch.all_unlabelled, batch.all_labelled]
        encodings = networks["encoder"](
            views_of(images, pools, options.weak, generator, batch.processes)
        )
        unlabelled, labelled = torch.split(encodings, [len(batch.unlabelled), len(batch.targets)])
        inputs = RuleInputs(
            batch.gather(unlabelled, labelled=False, unlabelled=True),
            batch.gather(labelled, labelled=True, unlabelled=False),
            batch.gather(batch.targets, labelled=True, unlabelled=False),
            networks["pseudo_probe"],
            options,
        )
        # Every process computes the whole rule, so each contributes its part of it.
        return StepResult(loss(inputs).reshape(-1) / batch.processes.size)

    return run
