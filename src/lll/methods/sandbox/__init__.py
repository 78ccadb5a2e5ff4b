"""``sandbox``: `gradual` with an extra encoder step between its two, named by ``rule``.

Use it for research. On frozen features (CIFAR-10, 25 labels per class, n = 5) two rules gave
`gradual` 1 to 2 points: `reclassify_weighted` as it is, and `reclassify_per_class` with
``rule_clip`` 1, which costs 4 without. `soft_lookup`, `meta_reclassify` and `meta_distance` gave
nothing in any form tried, nor did the similarity `inverse_distance`. On features plain `logistic`
is ahead of `gradual` by more than that.

The rules are experimental. To add one: a pure function in a file of this folder, and a line
in `RULES`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated, Literal

import torch
from jaxtyping import Float, Int
from pydantic import Field, field_validator
from torch import Tensor, nn

from lll.errors import lookup
from lll.methods import contrast
from lll.methods.batch import Batch
from lll.methods.classify import CLASSIFY
from lll.methods.contrast import CONTRAST, ContrastOptions
from lll.methods.method import Losses, Method, Names, Nets, Shape, Stages, Step
from lll.methods.sandbox.meta_distance import meta_distance
from lll.methods.sandbox.meta_reclassify import meta_reclassify
from lll.methods.sandbox.reclassify import reclassify_per_class, reclassify_weighted
from lll.methods.sandbox.soft_lookup import soft_lookup
from lll.nets import LinearProbe


@dataclass(frozen=True)
class RuleInputs:
    """What a rule may look at: encodings of both pools, the labels, the pseudo probe."""

    unlabelled: Float[Tensor, "u d"]
    labelled: Float[Tensor, "l d"]
    targets: Int[Tensor, " l"]
    pseudo_probe: Callable[[Tensor], Tensor]
    options: SandboxOptions


@dataclass(frozen=True)
class Rule:
    """A sandbox rule and the parts that its gradient reaches.

    ``loss`` is a scalar for one update, or [k] for one update each.
    """

    loss: Callable[[RuleInputs], Tensor]
    reaches: tuple[str, ...] = ("encoder",)


RULES: dict[str, Rule] = {
    "soft_lookup": Rule(
        lambda r: soft_lookup(r.unlabelled, r.labelled, r.targets, r.pseudo_probe),
        ("encoder", "pseudo_probe"),
    ),
    "reclassify_per_class": Rule(
        lambda r: reclassify_per_class(r.unlabelled, r.labelled, r.targets, r.options.similarity)
    ),
    "reclassify_weighted": Rule(
        lambda r: reclassify_weighted(r.unlabelled, r.labelled, r.targets, r.options.similarity)
    ),
    "meta_reclassify": Rule(
        lambda r: meta_reclassify(r.unlabelled, r.labelled, r.targets, r.pseudo_probe),
        ("encoder", "pseudo_probe"),
    ),
    "meta_distance": Rule(lambda r: meta_distance(r.unlabelled, r.labelled, r.options.direction)),
}


class SandboxOptions(ContrastOptions):
    """Options of ``sandbox``."""

    rule: Annotated[str, Names(RULES)] = Field(
        "reclassify_weighted", description="the extra encoder step"
    )
    similarity: Literal["dot", "inverse_distance"] = Field(
        "dot", description="dot or inverse_distance, in the reclassify rules"
    )
    direction: Literal["attract", "repel"] = Field(
        "attract", description="attract or repel, in the meta_distance rule"
    )
    rule_clip: float | None = Field(
        None, gt=0, description="longest gradient of the rule; 1 keeps it from taking over"
    )

    @field_validator("rule")
    @classmethod
    def _known(cls, rule: str) -> str:
        lookup(RULES, rule, "rule")
        return rule


def apply_rule(nets: Nets, batch: Batch, options: SandboxOptions) -> Losses | None:
    """The loss of the rule on weak views of both pools; None where either is missing."""
    if not batch.labelled.total or not batch.unlabelled.total:
        return None
    sizes = [len(batch.unlabelled), len(batch.labelled)]
    encodings = nets["encoder"](batch.everything.weak())
    unlabelled, labelled = torch.split(encodings, sizes)
    inputs = RuleInputs(
        batch.unlabelled.gather(unlabelled),
        batch.labelled.gather(labelled),
        batch.all_targets,
        nets["pseudo_probe"],
        options,
    )
    return Losses(batch.whole(RULES[options.rule].loss(inputs).reshape(-1)))


def parts(shape: Shape, options: SandboxOptions) -> dict[str, nn.Module]:
    """Those of `gradual`, and a pseudo probe."""
    shared = contrast.parts(shape, options)  # first, for they are drawn in order
    return {**shared, "pseudo_probe": LinearProbe(shape.features, shape.classes)}


def stages(options: SandboxOptions) -> Stages:
    """Contrast, the rule, classify."""
    rule = Step(options.rule, apply_rule, RULES[options.rule].reaches, options.rule_clip)
    return ((CONTRAST, rule, CLASSIFY),)


METHOD = Method(
    summary="as `gradual`, with an extra encoder step between, named by `--rule`",
    options=SandboxOptions,
    parts=parts,
    stages=stages,
    variant=lambda options: str(options.rule),
    defaults=lambda given: {"classes": "all", "labels": "0.1:0.9", "contrastive_rate": 0.01},
)
