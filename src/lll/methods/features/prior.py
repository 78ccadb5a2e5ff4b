"""How frequent is each class among the images? Estimated from labels and answers."""

from __future__ import annotations

from jaxtyping import Float
from torch import Tensor

ROUNDS = 50  # at most
TOLD, EVIDENCE = 1.0, 2.0  # labels a class
NEAR = 1e-5  # a change that is the last


def estimate_prior(
    scores: Float[Tensor, "n c"], counts: Float[Tensor, " c"], weight: float
) -> Float[Tensor, " c"]:
    """The share of each class [c] among images with likelihoods ``scores`` (up to a factor a row).

    Expectation maximisation (Saerens et al. 2002, "Adjusting the outputs of a classifier to
    new a priori probabilities"), with a Dirichlet prior from the labels: ``counts`` [c] labels
    of each class and one more, against which all images together weigh as ``weight`` labels.
    """
    known = counts + 1
    prior = known / known.sum()
    for _ in range(ROUNDS if len(scores) else 0):
        joint = scores * prior
        share = (joint / joint.sum(dim=1, keepdim=True).clamp(min=1e-30)).mean(dim=0)
        before, prior = prior, (known + weight * share) / (known.sum() + weight)
        if bool(((prior - before).abs() < NEAR).all()):
            break
    return prior


def prior_among(scores: Float[Tensor, "n c"], counts: Float[Tensor, " c"]) -> Float[Tensor, " c"]:
    """`estimate_prior` for images to which a person gave ``counts`` [c] labels.

    Few people label at random, and a class that came first has the most labels: however many
    there are, they weigh as `TOLD` a class, and the images as `EVIDENCE` a class.
    """
    told = counts * min(1.0, TOLD / float(counts.mean()))
    return estimate_prior(scores, told, EVIDENCE * len(counts))


def balance(
    scores: Float[Tensor, "n c"], prior: Float[Tensor, " c"], rounds: int = 20
) -> Float[Tensor, "n c"]:
    """``scores`` >= 0 with rows and columns scaled so that columns average to ``prior`` [c].

    Each row of the answer sums to 1. Sinkhorn and Knopp 1967.
    """
    soft = scores
    for _ in range(rounds):
        soft = soft * (prior / soft.mean(dim=0).clamp(min=1e-30))
        soft = soft / soft.sum(dim=1, keepdim=True).clamp(min=1e-30)
    return soft
