"""What a step is handed, and what it hands back."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from itertools import accumulate

import torch
from jaxtyping import Float, Int, UInt8
from torch import Tensor, nn

from lll.nets import evaluating
from lll.ranks import ALONE, Ranks
from lll.views.geometric import Strength, apply_views, draw_views, random_views


@dataclass(frozen=True)
class Batch:
    """One minibatch on the training device. An unlabelled image brings no label along.

    ``labelled`` uint8 [l, 3, h, w] with class indices ``targets`` [l]; ``unlabelled`` uint8
    [u, 3, h, w]. Either may be empty. With several ``processes`` they are this one's rows of
    the ``all_labelled`` and ``all_unlabelled`` images of the whole minibatch.
    """

    labelled: UInt8[Tensor, "l 3 h w"]
    targets: Int[Tensor, " l"]
    unlabelled: UInt8[Tensor, "u 3 h w"]
    all_labelled: int
    all_unlabelled: int
    processes: Ranks = ALONE

    def gather(self, rows: Tensor, *, labelled: bool, unlabelled: bool) -> Tensor:
        """``rows``, one for each image of the pools named, joined over the processes."""
        pools = [self.all_labelled] * labelled + [self.all_unlabelled] * unlabelled
        counts = tuple(
            sum(_length(self.processes.share(pool, rank)) for pool in pools)
            for rank in range(self.processes.size)
        )
        return self.processes.gather(rows, counts)


def views_of(
    images: UInt8[Tensor, "n 3 h w"],
    pools: Sequence[int],
    strength: Strength,
    generator: torch.Generator,
    processes: Ranks,
) -> Float[Tensor, "n 3 h w"]:
    """A random view of each image; an image's view does not depend on the number of processes.

    ``images`` [n] are this process's rows of ``pools``, so many images each, one after another.
    """
    if processes.alone:
        return random_views(images, strength, generator)
    starts = accumulate(pools, initial=0)
    rows = torch.cat(
        [
            torch.arange(start + share.start, start + share.stop, device=images.device)
            for start, share in zip(starts, map(processes.share, pools), strict=False)
        ]
    )
    return apply_views(images, draw_views(sum(pools), strength, generator).take(rows))


def _length(share: slice) -> int:
    return int(share.stop - share.start)


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

    ``losses`` [k] share one forward pass; ``figures`` are scalars without a gradient. With
    several processes both are contributions: their sum is that of the whole minibatch.
    """

    losses: Float[Tensor, " k"]
    figures: dict[str, Float[Tensor, ""]] = field(default_factory=dict)


Networks = Mapping[str, Callable[[Tensor], Tensor]]
"""The modules of a run by name, as functions: ``encoder``, ``projection``, ``probe``, ..."""

StepFunction = Callable[[Networks, Batch, StepOptions, torch.Generator], StepResult | None]
"""(networks, batch, options, generator of the views) -> result, or None with nothing to do."""


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
