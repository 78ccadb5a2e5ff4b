"""What a step is handed, and what it hands back."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field

import torch
from jaxtyping import Float, Int, UInt8
from torch import Tensor, nn

from lll.augment import Strength
from lll.models import evaluating


@dataclass(frozen=True)
class Batch:
    """One minibatch on the training device. An unlabelled image brings no label along.

    ``labelled`` uint8 [l, 3, h, w] with class indices ``targets`` [l]; ``unlabelled`` uint8
    [u, 3, h, w]. Either may be empty.
    """

    labelled: UInt8[Tensor, "l 3 h w"]
    targets: Int[Tensor, " l"]
    unlabelled: UInt8[Tensor, "u 3 h w"]


@dataclass(frozen=True)
class StepOptions:
    """The hyper-parameters of steps; see the fields of the same names in `RunConfig`."""

    strong: Strength
    weak: Strength
    temperature: float = 0.1
    contrast: str = "info_nce"
    similarity: str = "dot"
    direction: str = "attract"


@dataclass(frozen=True)
class StepResult:
    """The losses of a step, one optimizer update each, and figures to record.

    ``losses`` [k] share one forward pass; ``figures`` are scalars without a gradient.
    """

    losses: Float[Tensor, " k"]
    figures: dict[str, Float[Tensor, ""]] = field(default_factory=dict)


StepFunction = Callable[[nn.ModuleDict, Batch, StepOptions, torch.Generator], StepResult | None]
"""(modules, batch, options, generator of the views) -> result, or None with nothing to do."""


@contextmanager
def gradients_only_to(modules: nn.ModuleDict, reached: Iterable[str]) -> Iterator[None]:
    """Inside, only the modules called ``reached`` train; the rest are as at evaluation.

    They build no graph, and batch norm in them neither looks at the batch nor counts it: a
    probe on a frozen encoder sees the encodings that it will be judged on.
    """
    reached = set(reached)
    frozen = [
        parameter
        for name, module in modules.items()
        if name not in reached
        for parameter in module.parameters()
        if parameter.requires_grad
    ]
    for parameter in frozen:
        parameter.requires_grad_(False)
    try:
        with ExitStack() as stack:
            for name, module in modules.items():
                if name not in reached:
                    stack.enter_context(evaluating(module))
            yield
    finally:
        for parameter in frozen:
            parameter.requires_grad_(True)
