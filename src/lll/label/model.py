"""The model behind the page: logistic regression on features, fitted after each answer."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float, Int
from numpy.typing import NDArray
from torch import Tensor

from lll.errors import UserError
from lll.methods import logistic
from lll.methods.features.fitted import Answer, best_scale
from lll.methods.features.problem import Problem
from lll.methods.features.softmax import fit_softmax, with_ones
from lll.methods.features.space import Space

FEW = 40  # labels, below which nothing is said of what more of them would bring
DOUBTED = 10  # one label in so many is listed as doubtful at most


@dataclass(frozen=True)
class Fit:
    """What the model says of the n points of a space.

    ``probabilities`` [n, classes]; 0 for a class without a label. ``doubtful`` are the labelled
    rows that a model without them says are of another class, the least likely label first, and at
    most one in ten: what the page asks about is hard, and the model is no judge of all of it.
    ``gain`` is how much larger the share of held-out labels is that it gets right than with half of
    the labels, and the standard error of that; None below `FEW` labels.
    """

    probabilities: Float[np.ndarray, "n c"]
    doubtful: NDArray[np.intp]
    gain: tuple[float, float] | None


def fit(space: Space, targets: Int[np.ndarray, " n"], classes: int, seed: int) -> Fit:
    """The model of class indices ``targets``, -1 without a label; calibrated on labels held out.

    UserError where fewer than two classes have a label.
    """
    rows = torch.from_numpy(np.flatnonzero(targets >= 0))
    present, labels = torch.unique(torch.from_numpy(targets)[rows], return_inverse=True)
    if len(present) < 2:
        raise UserError("a model needs labels of two classes at least: label some more")
    problem = Problem(space, rows, labels, present, seed)
    answer = logistic.answer(problem)
    scale = best_scale(answer.held, answer.truth)
    out = torch.zeros(len(space.points), classes)
    out[:, present] = torch.softmax(scale * (with_ones(space.points) @ answer.weights), dim=1)
    return Fit(out.numpy(), _doubtful(problem, answer).numpy(), _gain(problem))


def _doubtful(problem: Problem, answer: Answer) -> Tensor:
    held = torch.cat([problem.rows[:0], *(problem.rows[fold] for fold in problem.folds())])
    chances = torch.softmax(answer.held, dim=1)
    of_label = chances.gather(1, answer.truth[:, None])[:, 0]
    doubted = torch.nonzero(chances.argmax(dim=1) != answer.truth)[:, 0]
    return held[doubted[of_label[doubted].argsort()]][: len(problem.rows) // DOUBTED]


def _gain(problem: Problem) -> tuple[float, float] | None:
    """Of each held-out label whether it is right with all the others, less with half of them."""
    if len(problem.rows) < FEW:
        return None
    generator = torch.Generator().manual_seed(problem.seed)
    gains = []
    for held in problem.folds():
        others = problem.without(held)
        half = torch.rand(len(others.rows), generator=generator) < 0.5
        right = [_right(each, problem, held) for each in (others, others.without(half))]
        gains.append(right[0] - right[1])
    gain = torch.cat(gains)
    return float(gain.mean()), float(gain.std() / len(gain) ** 0.5)


def _right(taught: Problem, problem: Problem, held: Tensor) -> Tensor:
    """1 where the model of ``taught`` gets a ``held`` label right, else 0."""
    points = with_ones(taught.space.points[taught.rows])
    penalty = torch.tensor([logistic.PENALTIES[logistic.USUAL]]) / taught.counts.mean()
    weights = fit_softmax(points, taught.one_hot[None], penalty)[0]
    said = with_ones(problem.space.points[problem.rows[held]]) @ weights
    return (said.argmax(dim=1) == problem.labels[held]).float()
