"""``auto``: `logistic`, `propagate` or `kernel`, whichever predicts held-out labels better.

Use it on photos unless you know better: it is the default there.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import torch
from torch import Tensor

from lll.methods import kernel, logistic, propagate
from lll.methods.features.fitted import Answer, method_of
from lll.methods.features.problem import Problem
from lll.words import percent

RIVALS = (logistic.answer, kernel.answer)  # what `propagate` is compared with
MANY = 200  # labels of every class from which on a tie goes to `kernel`
LABELLED = 0.25  # of all images, from which on to `logistic`: the others teach little more
SURE = 2  # standard errors by which another learner must be ahead


def answer(problem: Problem) -> Answer:
    """The best answer on the rows held out; `propagate` if some class has but one label."""
    return taken(problem, problem.answered(propagate.answer))


def taken(problem: Problem, spread: Answer) -> Answer:
    """``spread``, the answer of `propagate`, or that of another learner, if it is better."""
    if not compares(problem):
        return _taken(spread, "propagate", "a class has one label, too few to compare", {})
    linear, curved = map(problem.answered, RIVALS)
    learners = {"logistic": linear, "propagate": spread, "kernel": curved}
    return best(learners, usual_of(problem))


def compares(problem: Problem) -> bool:
    """Whether every class has a label to hold out, and another one to learn from."""
    return int(problem.counts.min()) > 1


def usual_of(problem: Problem) -> str:
    """The learner that a tie goes to: `propagate`, which also uses unlabelled images.

    But `kernel` where every class has `MANY` labels, else `logistic` where `LABELLED` of all
    images have one.
    """
    if int(problem.counts.min()) >= MANY:
        return "kernel"
    labelled = len(problem.rows) / len(problem.space.points)
    return "logistic" if labelled >= LABELLED else "propagate"


def best(learners: Mapping[str, Answer], usual: str) -> Answer:
    """Of the learners' answers to one problem, that which has most held-out labels right.

    A tie within `SURE` standard errors goes to the ``usual`` learner. The notes say which was
    ``taken``, ``why``, and the held-out accuracy of all.
    """
    spread = learners["propagate"]
    shares = torch.bincount(spread.truth, minlength=len(spread.prior)) / len(spread.truth)
    # Each held-out row counts as its class does among all images, not among the labels.
    weights = (spread.prior / shares)[spread.truth]
    weights = weights / weights.mean()
    right = {name: weights * _right(each) for name, each in learners.items()}
    scores = {name: float(each.mean()) for name, each in right.items()}
    said = ", ".join(f"{name} {percent(score)}" for name, score in scores.items())
    rival = max(scores, key=scores.__getitem__)
    gain = right[rival] - right[usual]
    if gain.mean() > SURE * gain.std() / len(gain) ** 0.5:
        return _taken(learners[rival], rival, f"more held-out labels right: {said}", scores)
    why = f"no other has clearly more held-out labels right: {said}"
    return _taken(learners[usual], usual, why, scores)


def _right(answer: Answer) -> Tensor:
    """1 for each held-out label that the answer gets right, else 0."""
    return (answer.held.argmax(dim=1) == answer.truth).float()


def _taken(answer: Answer, name: str, why: str, scores: dict[str, float]) -> Answer:
    held_out = {f"held_out_{learner}": score for learner, score in scores.items()}
    notes = {**answer.notes, "taken": name, "why": why, **held_out}
    return replace(answer, notes=notes)


METHOD = method_of(
    "logistic, propagate or kernel, by cross-validation on the labelled images", answer
)
