"""``freematch``: as `fixmatch`, with a threshold for each class that rises as the network learns.

Use it as `fixmatch`, where classes are learned at unlike speeds.

Source: Wang et al. 2023 (arXiv:2205.07246), equations 5 to 12, and the authors' code for what
the paper leaves open: the order of the updates, and no fairness term without a sure guess.
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
    Shares,
    answers,
    defaults,
    look,
    losses,
    one_hot,
)
from lll.methods.consistency import parts as shared_parts
from lll.methods.method import Losses, Method, Nets, Shape, Step

TINY = 1e-12


class FreeMatchOptions(ConsistencyOptions):
    """Options of ``freematch``."""

    fairness: float = Field(
        0.01, ge=0, description="weight of the term that keeps guesses spread over classes"
    )


class Thresholds(nn.Module):
    """What the network is sure of on unlabelled images, as running means.

    ``level``: of the probability of the likeliest class, tau (eq. 5). ``probabilities`` [c]: of
    the probabilities, p tilde (eq. 6). ``guesses`` [c]: of the shares of the guesses, h tilde
    (eq. 10). They begin at 1/c.
    """

    def __init__(self, classes: int) -> None:
        super().__init__()
        self.level = Running(torch.tensor(1 / classes))
        self.probabilities, self.guesses = Shares(classes), Shares(classes)

    def update(self, weak: Float[Tensor, "n c"], momentum: float) -> None:
        """Take in the probabilities of the weak views of all ranks."""
        sure, guess = weak.max(dim=1)
        self.level.update(sure.mean(), momentum)
        self.probabilities.update(weak.mean(dim=0), momentum)
        self.guesses.update(one_hot(guess, weak).mean(dim=0), momentum)

    def of_classes(self) -> Float[Tensor, " c"]:
        """The threshold of each class: ``level * p tilde / max p tilde`` (eq. 7 and 8)."""
        return self.level.value * self.probabilities.value / self.probabilities.value.max()

    def expected(self) -> Float[Tensor, " c"]:
        """``p tilde / h tilde``, 0 for a class that was never guessed (as in the code)."""
        p, guesses = self.probabilities.value, self.guesses.value
        return torch.where(guesses > 0, p / guesses.clamp(min=TINY), 0.0)

    def grow(self, classes: int) -> None:
        """Have ``classes`` classes."""
        self.probabilities.grow(classes)
        self.guesses.grow(classes)


def parts(shape: Shape, options: FreeMatchOptions) -> dict[str, nn.Module]:
    """Those of `fixmatch`, and the thresholds."""
    return {**shared_parts(shape, options), "thresholds": Thresholds(shape.classes)}


def freematch(nets: Nets, batch: Batch, options: FreeMatchOptions) -> Losses:
    """The two losses with w = 1 where the guess reaches its class's threshold (eq. 9).

    To them is added ``fairness`` times the term of eq. 12.
    """
    seen, thresholds = look(nets, batch, options), nets["thresholds"]
    if batch.unlabelled.total:
        thresholds.update(batch.unlabelled.gather(seen.aligned), options.momentum)
    sure, guess = seen.aligned.max(dim=1)
    weights = (sure >= thresholds.of_classes()[guess]).to(sure.dtype)
    both = losses(batch, seen, weights, options)
    fair = batch.whole(
        fairness(
            batch.unlabelled.gather(seen.strong),
            batch.unlabelled.gather(weights),
            thresholds.expected(),
        )
    )
    return Losses(
        both.values + options.fairness * fair, {**both.figures, "fairness_loss": fair.detach()}
    )


def fairness(
    strong: Float[Tensor, "n c"], weights: Float[Tensor, " n"], expected: Float[Tensor, " c"]
) -> Float[Tensor, ""]:
    """Minus the cross-entropy of ``expected`` and of what is guessed on strong views (eq. 12).

    Over the rows with weight 1: the mean of the probabilities divided by the shares of the
    guesses, where there are any, both made to add up to 1. 0 without such a row.
    """
    p = strong.softmax(dim=1)
    guesses = weights @ one_hot(p.argmax(dim=1), p)
    mean = torch.where(guesses > 0, (weights @ p) / guesses.clamp(min=1), 0.0)
    mean = mean / mean.sum().clamp(min=TINY)
    return (expected / expected.sum() * (mean + TINY).log()).sum() * (guesses.sum() > 0)


METHOD = Method(
    summary="as `fixmatch`, with a threshold for each class that follows the network (FreeMatch)",
    options=FreeMatchOptions,
    parts=parts,
    stages=lambda options: ((Step("freematch", freematch, ("encoder", "probe")), AVERAGE),),
    answers=answers,
    defaults=defaults,
)
