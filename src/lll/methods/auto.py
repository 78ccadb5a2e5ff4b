"""``auto``: `logistic` or `propagate`, whichever predicts held-out labels better.

Use it on photos unless you know better: it is the default there.
"""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor

from lll.methods import logistic, propagate
from lll.methods.features.fitted import Answer, method_of
from lll.methods.features.problem import Problem
from lll.words import percent


def answer(problem: Problem) -> Answer:
    """The better answer on the rows held out; `propagate` if some class has but one label."""
    return taken(problem, problem.answered(propagate.answer))


def taken(problem: Problem, spread: Answer) -> Answer:
    """``spread``, the answer of `propagate`, or that of `logistic`, if it is the better one."""
    if problem.counts.min() < 2:
        return _taken(spread, "propagate", "a class has one label, too few to compare", {})
    return better(problem.answered(logistic.answer), spread)


def better(alone: Answer, spread: Answer) -> Answer:
    """Of both learners' answers to one problem, that which has more held-out labels right.

    The notes say which was ``taken``, ``why``, and the held-out accuracy of both.
    """
    shares = torch.bincount(spread.truth, minlength=len(spread.prior)) / len(spread.truth)
    # Each held-out row counts as its class does among all images, not among the labels.
    weights = (spread.prior / shares)[spread.truth]
    weights = weights / weights.mean()
    learners = {"logistic": alone, "propagate": spread}
    right = {name: weights * _right(each) for name, each in learners.items()}
    scores = {name: float(each.mean()) for name, each in right.items()}
    said = " and ".join(f"{name} {percent(score)}" for name, score in scores.items())
    # A tie within one standard error goes to the learner that also uses unlabelled images.
    gain = right["logistic"] - right["propagate"]
    if gain.mean() > gain.std() / len(gain) ** 0.5:
        return _taken(alone, "logistic", f"more held-out labels right, {said}", scores)
    return _taken(spread, "propagate", f"as many held-out labels right or more, {said}", scores)


def _right(answer: Answer) -> Tensor:
    """1 for each held-out label that the answer gets right, else 0."""
    return (answer.held.argmax(dim=1) == answer.truth).float()


def _taken(answer: Answer, name: str, why: str, scores: dict[str, float]) -> Answer:
    held_out = {f"held_out_{learner}": score for learner, score in scores.items()}
    notes = {**answer.notes, "taken": name, "why": why, **held_out}
    return replace(answer, notes=notes)


METHOD = method_of("logistic or propagate, by cross-validation on the labelled images", answer)
