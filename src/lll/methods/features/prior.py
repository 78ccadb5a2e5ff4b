"""How frequent is each class among the images? Estimated from labels and answers."""

from __future__ import annotations

from jaxtyping import Float
from torch import Tensor

ROUNDS = 50  # at most
TOLD, EVIDENCE = 1.0, 2.0  # labels a class
NEAR = 1e-5  # a change that is the last
LEFT = 0.5  # unlabelled rows of a class at least


def estimate_prior(
    scores: Float[Tensor, "n c"],
    told: Float[Tensor, " c"],
    weight: float,
    labelled: Float[Tensor, " c"],
    unlabelled: int,
) -> Float[Tensor, " c"]:
    """The share of each class [c] among all images, those with a label too.

    Expectation maximisation (Saerens et al. 2002, "Adjusting the outputs of a classifier to
    new a priori probabilities"), with a Dirichlet prior from the labels: ``told`` [c] labels
    of each class and one more, against which all images together weigh as ``weight`` labels.
    ``labelled`` [c] images are of the class that their label says; ``scores`` are likelihoods (up
    to a factor a row) of some of the ``unlabelled`` ones, among which a class is as frequent as
    `left` says.
    """
    known = told + 1
    prior = known / known.sum()
    for _ in range(ROUNDS if len(scores) else 0):
        joint = scores * left(prior, labelled, unlabelled)
        found = (joint / joint.sum(dim=1, keepdim=True).clamp(min=1e-30)).mean(dim=0)
        share = (labelled + unlabelled * found) / (labelled.sum() + unlabelled)
        before, prior = prior, (known + weight * share) / (known.sum() + weight)
        if bool(((prior - before).abs() < NEAR).all()):
            break
    return prior


def left(
    prior: Float[Tensor, " c"], labelled: Float[Tensor, " c"], unlabelled: int
) -> Float[Tensor, " c"]:
    """The share of each class among the ``unlabelled`` images, if ``prior`` is that among all.

    A class of which nearly all images are ``labelled`` has few left, however frequent it is.
    """
    rest = (prior * (labelled.sum() + unlabelled) - labelled).clamp(min=LEFT)
    return rest / rest.sum()


def prior_among(
    scores: Float[Tensor, "n c"], counts: Float[Tensor, " c"], unlabelled: int
) -> Float[Tensor, " c"]:
    """`estimate_prior` for images to which a person gave ``counts`` [c] labels.

    Few people label at random, and a class that came first has the most labels: however many
    there are, they weigh as `TOLD` a class, and the images as `EVIDENCE` a class. The more of the
    images have a label, the less their number tells beyond what is counted anyway.
    """
    free = unlabelled / (unlabelled + float(counts.sum()))
    told = counts * min(1.0, TOLD / float(counts.mean())) * free
    return estimate_prior(scores, told, EVIDENCE * len(counts), counts, unlabelled)


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
