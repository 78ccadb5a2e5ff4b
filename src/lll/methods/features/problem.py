"""A checked problem: points, and which of them have which label."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any, TypeVar

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from lll.errors import UserError
from lll.methods.features.space import Space, fit_space
from lll.methods.method import Rows

T = TypeVar("T")
FOLDS = 4
ENOUGH = 400


@dataclass(frozen=True)
class Problem:
    """Labelled ``rows`` [l] of a space; ``labels`` [l] count the ``present`` classes [c] only.

    ``answers`` holds what was `answered` to this very problem.
    """

    space: Space
    rows: Int[Tensor, " l"]
    labels: Int[Tensor, " l"]
    present: Int[Tensor, " c"]
    seed: int
    answers: dict[Callable[[Problem], Any], Any] = field(default_factory=dict)

    def answered(self, by: Callable[[Problem], T]) -> T:
        """What ``by`` says of this problem: asked once, whichever methods want to know."""
        if by not in self.answers:
            self.answers[by] = by(self)
        answer: T = self.answers[by]
        return answer

    @property
    def counts(self) -> Float[Tensor, " c"]:
        """Labels of each present class."""
        return torch.bincount(self.labels, minlength=len(self.present)).float()

    @property
    def unlabelled(self) -> Int[Tensor, " u"]:
        """The rows of the space that have no label."""
        free = torch.ones(len(self.space.points), dtype=torch.bool)
        free[self.rows] = False
        return torch.nonzero(free)[:, 0]

    @property
    def one_hot(self) -> Float[Tensor, "l c"]:
        """The labels as weights that give each class the same sum, 1 in all."""
        hot = torch.nn.functional.one_hot(self.labels, len(self.present)).float()
        return hot / hot.sum(dim=0).clamp(min=1) / len(self.present)

    def without(self, held: Bool[Tensor, " l"]) -> Problem:
        """The problem whose labels ``held`` are not known."""
        return replace(self, rows=self.rows[~held], labels=self.labels[~held], answers={})

    def folds(self, count: int = FOLDS) -> list[Bool[Tensor, " l"]]:
        """Labelled rows to hold out, in turn: stratified, no class ever without a label.

        A class with one label is never held out. No fold at all if every class has one. Of many
        labels not all are held out in the end: `ENOUGH` tell what all would.
        """
        fold = torch.full_like(self.labels, -1)
        generator = torch.Generator().manual_seed(self.seed)
        for c in range(len(self.present)):
            at = torch.nonzero(self.labels == c)[:, 0]
            if len(at) > 1:
                order = torch.randperm(len(at), generator=generator)
                fold[at[order]] = (torch.arange(len(at)) + c) % count
        sizes = torch.bincount(fold[fold >= 0], minlength=count)
        before = sizes.cumsum(0) - sizes
        return [fold == k for k in range(count) if sizes[k] and before[k] < ENOUGH]


def pose(rows: Rows) -> Problem:
    """The problem of ``rows``, on the CPU; UserError for labels of fewer than two classes."""
    targets = rows.targets.cpu()
    at = torch.nonzero(targets >= 0)[:, 0]
    present, labels = torch.unique(targets[at], return_inverse=True)
    if len(present) < 2:
        raise UserError(
            "a method on features needs labels of two classes at least: label some more"
        )
    if "space" not in rows.shared:
        rows.shared["space"] = fit_space(
            rows.inputs.cpu(), rows.views.cpu(), rows.last, rows.pretraining
        )
    answers = _answers(rows, (rows.seed, at.numpy().tobytes(), targets[at].numpy().tobytes()))
    return Problem(rows.shared["space"], at, labels, present, rows.seed, answers)


def _answers(rows: Rows, key: tuple[int, bytes, bytes]) -> dict[Any, Any]:
    """What was answered to the problem of that ``key``, the last one that there was, if to it."""
    if rows.shared.get("last") != key:
        rows.shared["last"], rows.shared["answers"] = key, {}
    answers: dict[Any, Any] = rows.shared["answers"]
    return answers
