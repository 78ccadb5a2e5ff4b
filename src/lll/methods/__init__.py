"""The methods and the sandbox rules, as two tables.

A method is a list of stages, a stage an ordered list of steps, and a step names the modules
that its gradient reaches. To add a method, give it a line in `METHODS` (and, for defaults of
its own, in `lll.config.METHOD_DEFAULTS`); to add a rule, a line in `RULES`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from lll.errors import UserError, lookup
from lll.methods.sandbox.meta_distance import meta_distance
from lll.methods.sandbox.meta_reclassify import meta_reclassify
from lll.methods.sandbox.reclassify import reclassify_per_class, reclassify_weighted
from lll.methods.sandbox.soft_lookup import soft_lookup
from lll.methods.steps.batch import StepFunction
from lll.methods.steps.classify import classify
from lll.methods.steps.contrast import contrast
from lll.methods.steps.sandbox import RuleLoss, sandbox_step

OPTIMIZER_OF = {
    "encoder": "contrastive",
    "projection": "contrastive",
    "probe": "probe",
    "pseudo_probe": "probe",
}
"""Which optimizer owns which module."""


@dataclass(frozen=True)
class Step:
    """One loss of a method: its name in the metrics, its function, the modules it reaches."""

    name: str
    run: StepFunction
    reaches: tuple[str, ...]


@dataclass(frozen=True)
class Rule:
    """A sandbox rule: its loss, and the modules that its gradient reaches."""

    loss: RuleLoss
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

CONTRAST = Step("contrast", contrast, ("encoder", "projection"))
CLASSIFY = Step("classify", classify, ("encoder", "probe"))
PROBE = Step("classify", classify, ("probe",))

Stage = tuple[Step, ...]

METHODS: dict[str, Callable[[str | None], tuple[Stage, ...]]] = {
    "baseline": lambda rule: ((CLASSIFY,),),
    "self_supervised": lambda rule: ((CONTRAST, PROBE),),
    "finetune": lambda rule: ((CONTRAST, PROBE), (CLASSIFY,)),
    "gradual": lambda rule: ((CONTRAST, CLASSIFY),),
    "sandbox": lambda rule: ((CONTRAST, rule_step(rule), CLASSIFY),),
}


def stages_of(method: str, rule: str | None = None) -> tuple[Stage, ...]:
    """The stages of ``method``; UserError with the nearest name for an unknown one.

    >>> [[step.name for step in stage] for stage in stages_of("finetune")]
    [['contrast', 'classify'], ['classify']]
    """
    return lookup(METHODS, method, "method")(rule)


def rule_step(name: str | None) -> Step:
    """The step of the sandbox rule called ``name``."""
    if name is None:
        raise UserError(f"method 'sandbox' needs a rule: choose one of {', '.join(RULES)}")
    rule = lookup(RULES, name, "rule")
    return Step(name, sandbox_step(rule.loss), rule.reaches)
