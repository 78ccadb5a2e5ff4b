"""``softmatch``: as `fixmatch`, with a weight for each guess in place of a threshold.

Use it as `fixmatch`, where too few guesses pass a threshold.

Source: Chen et al. 2023 (arXiv:2301.10921), equations 5 to 9. We depart in that the guess is
aligned too, and not only how sure it is.
"""

from __future__ import annotations

import torch
from jaxtyping import Float
from pydantic import Field
from torch import Tensor, nn

from lll.methods.batch import Batch
from lll.methods.consistency import (
    AVERAGE,
    ConsistencyOptions,
    Running,
    answers,
    defaults,
    look,
    losses,
)
from lll.methods.consistency import parts as shared_parts
from lll.methods.method import Losses, Method, Nets, Shape, Step


class SoftMatchOptions(ConsistencyOptions):
    """Options of ``softmatch``."""

    sigmas: float = Field(
        2.0, gt=0, description="how many standard deviations below the mean a guess still counts"
    )


class Confidence(nn.Module):
    """How sure the network is of its guesses on unlabelled images.

    ``mean`` and ``variance`` of the probability of the likeliest class, running, from 1/c and 1
    on (algorithm 1).
    """

    def __init__(self, classes: int) -> None:
        super().__init__()
        self.mean = Running(torch.tensor(1 / classes))
        self.variance = Running(torch.tensor(1.0))

    def update(self, sure: Float[Tensor, " n"], momentum: float) -> None:
        """Take in the probabilities of the likeliest classes, of all ranks (eq. 6 and 7)."""
        if len(sure) > 1:
            self.mean.update(sure.mean(), momentum)
            self.variance.update(sure.var(), momentum)

    def weights(self, sure: Float[Tensor, " n"], sigmas: float) -> Float[Tensor, " n"]:
        """1 from the mean up; below, a Gaussian that is narrower by ``sigmas`` (eq. 5)."""
        below = (sure - self.mean.value).clamp(max=0)
        return (-below.square() / (2 * self.variance.value / sigmas**2)).exp()


def parts(shape: Shape, options: SoftMatchOptions) -> dict[str, nn.Module]:
    """Those of `fixmatch`, and the running figures."""
    return {**shared_parts(shape, options), "confidence": Confidence(shape.classes)}


def softmatch(nets: Nets, batch: Batch, options: SoftMatchOptions) -> Losses:
    """The two losses with w by how sure the guess is."""
    seen, confidence = look(nets, batch, options), nets["confidence"]
    sure = seen.aligned.amax(dim=1)
    confidence.update(batch.unlabelled.gather(sure), options.momentum)
    return losses(batch, seen, confidence.weights(sure, options.sigmas), options)


METHOD = Method(
    summary="as `fixmatch`, with a weight by how sure each guess is (SoftMatch)",
    options=SoftMatchOptions,
    parts=parts,
    stages=lambda options: ((Step("softmatch", softmatch, ("encoder", "probe")), AVERAGE),),
    answers=answers,
    defaults=defaults,
)
