"""``novel``: known classes from labels, new ones by self-distillation.

The outputs of classes that are not represented yet are free: images of classes that nobody has
named gather in them. Which output takes in which of them is left open; a class that gets its
first labels takes the output in which its images have gathered.

Use it where images of classes that nobody has named are among the unlabelled ones, and there is
time to train a network; on photos `lll discover` answers in seconds.

Source: SimGCD (Wen et al. 2023, arXiv:2211.11727), section 4. We depart in that the
contrastive step is that of `gradual`, and the teacher's temperature is fixed.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from jaxtyping import Float
from pydantic import Field
from torch import Tensor, nn

from lll.methods.batch import Batch
from lll.methods.contrast import CONTRAST, ContrastOptions
from lll.methods.contrast import parts as contrast_parts
from lll.methods.method import Losses, Method, Nets, Shape, Step
from lll.nets import CosineProbe

STUDENT = 0.1  # temperatures of the cosines: of the student and of what it learns from
TEACHER = 0.05


class NovelOptions(ContrastOptions):
    """Options of ``novel``."""

    supervised: float = Field(
        0.35, ge=0, le=1, description="weight of the labels; the rest is of self-distillation"
    )
    spread: float = Field(
        2.0, ge=0, description="weight of the term that keeps guesses spread over the outputs"
    )


def parts(shape: Shape, options: NovelOptions) -> dict[str, nn.Module]:
    """Those of `gradual`, with a cosine probe."""
    probe = CosineProbe(shape.features, shape.classes, STUDENT)
    return {**contrast_parts(shape, options), "probe": probe}


def distil(nets: Nets, batch: Batch, options: NovelOptions) -> Losses | None:
    """``(1 - supervised) * (distillation - spread * H(mean p)) + supervised * H(y, p)``."""
    pool = batch.everything
    if not pool.total:
        return None
    views = torch.cat([pool.weak(), pool.strong()])
    weak, strong = nets["probe"](nets["encoder"](views)).chunk(2)
    taught = pool.mean(crossed(weak, strong))
    mean = pool.gather((weak.softmax(dim=1) + strong.softmax(dim=1)) / 2).mean(dim=0)
    entropy = batch.whole(-(mean * mean.clamp(min=1e-8).log()).sum())
    labelled = weak[len(batch.unlabelled) :]
    known = batch.labelled.mean(F.cross_entropy(labelled, batch.targets, reduction="none"))
    right = (labelled.detach().argmax(dim=1) == batch.targets).float()
    loss = (1 - options.supervised) * (taught - options.spread * entropy)
    return Losses(
        (loss + options.supervised * known)[None],
        {
            "distillation_loss": taught.detach(),
            "labelled_loss": known.detach(),
            "spread": entropy.detach(),
            "train_accuracy": batch.labelled.mean(right),
        },
    )


def crossed(first: Float[Tensor, "n c"], second: Float[Tensor, "n c"]) -> Float[Tensor, " n"]:
    """What each view says, sharpened and without a gradient, as the target of the other (eq. 4)."""
    targets = (views.detach() * (STUDENT / TEACHER) for views in (first, second))
    one, two = (target.softmax(dim=1) for target in targets)
    by_first = -(one * second.log_softmax(dim=1)).sum(dim=1)
    by_second = -(two * first.log_softmax(dim=1)).sum(dim=1)
    return (by_first + by_second) / 2


METHOD = Method(
    summary="known classes by labels; new ones, without names, by self-distillation",
    options=NovelOptions,
    parts=parts,
    stages=lambda options: ((CONTRAST, Step("distil", distil, ("encoder", "probe"))),),
    gathers=("probe",),
    defaults=lambda given: {"classes": "5:all", "labels": 0.5, "unlabelled_pool": "all"},
)
