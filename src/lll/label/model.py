"""The model behind the page: what `lll train` would fit, in pieces that leave room for answers."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float, Int
from numpy.typing import NDArray
from torch import Tensor

from lll.errors import UserError
from lll.methods import auto, kernel, logistic, propagate
from lll.methods.features.fitted import Answer, Centres, best_scale, scores
from lll.methods.features.problem import Problem
from lll.methods.features.softmax import fit_softmax
from lll.methods.features.space import Space
from lll.metrics.curve import SHARES, Curve, learning_curve

FEW = 40  # labels, below which nothing is said of what more of them would bring
DOUBTED = 10  # one label in so many is listed as doubtful at most

Stale = Callable[[], bool]
"""Whether there is something newer to do; it is asked between pieces of work of about a second."""


@dataclass(frozen=True)
class Taught:
    """A classifier of the classes ``present`` [c], by ``learner``: ``weights`` and ``centres``.

    As in `Answer`; ``scale`` is one over its temperature.
    """

    learner: str
    weights: Float[Tensor, "k1 c"]
    present: Int[Tensor, " c"]
    scale: float
    centres: Centres | None = None

    def logits(self, points: Float[Tensor, "n k"]) -> Float[Tensor, "n c"]:
        """The scores of ``points``, not calibrated."""
        return scores(points, self.weights, self.centres)

    def says(self, space: Space, classes: int) -> Float[np.ndarray, "n classes"]:
        """Probabilities of the points of ``space``; 0 for a class without a label."""
        out = torch.zeros(len(space.points), classes)
        out[:, self.present] = torch.softmax(self.scale * self.logits(space.points), dim=1)
        found: NDArray[np.float32] = out.numpy()
        return found


@dataclass(frozen=True)
class Choice:
    """What labels held out chose, with which an answer is learned from at once.

    ``scale`` is one over the temperature; ``penalty``, over the labels per class, is for `logistic`
    alone.
    """

    learner: str = "propagate"
    scale: float = 1.0
    penalty: float = 0.0


@dataclass(frozen=True)
class Judgement:
    """The better learner by labels held out, calibrated on them, and what they say of labels.

    ``choice`` is how to fit it to other labels. ``doubtful`` are the labelled rows that a model
    without them says are of another class, the least likely label first, and at most one in ten:
    what the page asks about is hard, and the model is no judge of all of it.
    """

    taught: Taught
    choice: Choice
    doubtful: NDArray[np.intp]


def pose(space: Space, targets: Int[np.ndarray, " n"], seed: int) -> Problem:
    """The problem of class indices ``targets``, -1 without a label.

    UserError where fewer than two classes have a label.
    """
    rows = torch.from_numpy(np.flatnonzero(targets >= 0))
    present, labels = torch.unique(torch.from_numpy(targets)[rows], return_inverse=True)
    if len(present) < 2:
        raise UserError("a model needs labels of two classes at least: label some more")
    return Problem(space, rows, labels, present, seed)


def teach(problem: Problem, choice: Choice) -> Taught:
    """The classifier that all labels teach, in a second at most: nothing is held out."""
    weights, centres = torch.zeros(problem.space.points.shape[1] + 1, len(problem.present)), None
    if choice.learner == "propagate":
        weights, _ = propagate.taught(problem)
    elif choice.learner == "logistic":
        weights = logistic.taught(problem, choice.penalty)
    else:
        centres = kernel.taught(problem)
    return Taught(choice.learner, weights, problem.present, choice.scale, centres)


def warm_up() -> None:
    """Load what the first fit would else wait a second for."""
    fit_softmax(torch.eye(2), torch.eye(2)[None], torch.ones(1), steps=1)


def stand_in(problem: Problem) -> Taught:
    """A classifier that needs no graph, calibrated."""
    return _calibrated("logistic", problem, logistic.answer(problem))


def judge(problem: Problem, stale: Stale) -> Judgement | None:
    """`lll.methods.auto` in steps; None once it is ``stale``."""
    weights, prior = propagate.taught(problem)
    held = [torch.zeros(0, len(problem.present))]
    if stale():
        return None
    for part in propagate.held_out(problem):
        held.append(part)
        if stale():
            return None
    truth = torch.cat([problem.labels[:0], *(problem.labels[fold] for fold in problem.folds())])
    for rival in auto.RIVALS if auto.compares(problem) else ():
        problem.answered(rival)  # which `auto` then asks for
        if stale():
            return None
    answer = auto.taken(problem, Answer(weights, torch.cat(held), truth, prior))
    taught = _calibrated(str(answer.notes["taken"]), problem, answer)
    penalty = answer.notes.get("penalty", 0.0) * float(problem.counts.mean())
    choice = Choice(taught.learner, taught.scale, penalty)
    return Judgement(taught, choice, _doubtful(problem, answer).numpy())


def _calibrated(learner: str, problem: Problem, answer: Answer) -> Taught:
    scale = best_scale(answer.held, answer.truth)
    return Taught(learner, answer.weights, problem.present, scale, answer.centres)


def _doubtful(problem: Problem, answer: Answer) -> Tensor:
    held = torch.cat([problem.rows[:0], *(problem.rows[fold] for fold in problem.folds())])
    chances = torch.softmax(answer.held, dim=1)
    of_label = chances.gather(1, answer.truth[:, None])[:, 0]
    doubted = torch.nonzero(chances.argmax(dim=1) != answer.truth)[:, 0]
    return held[doubted[of_label[doubted].argsort()]][: len(problem.rows) // DOUBTED]


def curve_of(problem: Problem, choice: Choice, stale: Stale) -> Curve | None:
    """The learning curve of ``choice`` on labels held out; None below `FEW`, or once ``stale``."""
    if len(problem.rows) < FEW:
        return None
    right = []
    for held in problem.folds():
        order = torch.randperm(
            int((~held).sum()), generator=torch.Generator().manual_seed(problem.seed)
        )
        told = []
        for share in SHARES:
            told.append(_right(problem, held, order[int(share * len(order)) :], choice))
            if stale():
                return None
        right.append(torch.stack(told))
    return learning_curve(torch.cat(right, dim=1).numpy(), problem.seed)


def _right(problem: Problem, held: Tensor, left_out: Tensor, choice: Choice) -> Tensor:
    """Of the ``held`` labels those that a model gets right without them and the ``left_out``.

    ``left_out`` counts the labels that are not held; a class of which none is left is not known.
    """
    gone = held.clone()
    gone[torch.nonzero(~held)[:, 0][left_out]] = True
    targets = np.full(len(problem.space.points), -1)
    targets[problem.rows[~gone].numpy()] = problem.present[problem.labels[~gone]].numpy()
    if len(np.unique(targets[targets >= 0])) < 2:
        return torch.zeros(int(held.sum()), dtype=torch.bool)
    taught = teach(pose(problem.space, targets, problem.seed), choice)
    said = taught.logits(problem.space.points[problem.rows[held]]).argmax(dim=1)
    return taught.present[said] == problem.present[problem.labels[held]]
