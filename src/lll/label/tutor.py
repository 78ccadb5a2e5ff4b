"""Keeps the page's model as new as its labels: a quick fit after each answer, more in pauses."""

from __future__ import annotations

import time
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from lll.label.guess import Guess
from lll.label.model import Choice, Stale, Taught, curve_of, judge, pose, stand_in, teach
from lll.label.session import NONE, Session
from lll.methods.features.problem import Problem
from lll.methods.features.space import Space

QUICK_S = 2.0  # a fit may take so long before an answer has to wait for it
MORE = 1.2  # the learning curve is drawn anew with so many times the labels


@dataclass(frozen=True)
class Lesson:
    """What there is to learn from: the images ``at`` [m] of a ``space``, and their classes.

    ``targets`` [m] are class ids, -1 without; ``classes`` all ids there are.
    """

    space: Space
    at: NDArray[np.intp]
    targets: NDArray[np.int64]
    classes: tuple[int, ...]

    @property
    def key(self) -> tuple[int, bool, tuple[int, ...], bytes]:
        """Another as soon as there is something new to learn."""
        return len(self.at), self.woven, self.classes, self.targets.tobytes()

    @property
    def labels(self) -> int:
        """How many images have a label."""
        return int((self.targets >= 0).sum())

    @property
    def woven(self) -> bool:
        """Whether the graph of the space is there; it takes seconds, and no fit waits for it."""
        return "graph" in self.space.__dict__

    @property
    def columns(self) -> NDArray[np.int64]:
        """Of each image the place of its class among ``classes``, -1 without [m]."""
        column = np.full(max(self.classes, default=0) + 2, NONE)  # the last is that of no label
        column[list(self.classes)] = np.arange(len(self.classes))
        found: NDArray[np.int64] = column[self.targets]
        return found


@dataclass
class Tutor:
    """Teaches the model of a session; one thread calls it."""

    session: Session
    choice: Choice = field(default_factory=Choice)  # of the last judgement
    seconds: float = 0.0  # that its last fit took
    fits: int = 0
    drawn_at: int = 0  # labels of the last learning curve
    behind: bool = False  # the better learner has not answered yet
    taught: object = None  # the keys of the lessons that were taught and judged last
    judged: object = None

    def teach(self, lesson: Lesson) -> bool:
        """Fit at once; False where there is nothing new.

        `logistic` stands in while there is no graph. Where the better learner is slow it does so
        for a class that is new, and else the model stays until there is time.
        """
        if self.taught == lesson.key:
            return False
        self.taught, slow = lesson.key, self.seconds > QUICK_S
        self.behind = not lesson.woven or slow
        problem = self._problem(lesson)
        if problem is None:
            self.session.forget()
        elif not self.behind:
            self._better(lesson, problem)
        elif not lesson.woven or self._ignorant(lesson):
            self._publish(lesson, stand_in(problem))
        return True

    def ponder(self, lesson: Lesson, stale: Stale) -> None:
        """Compare the learners, and draw the learning curve, unless answers come meanwhile."""
        problem = None if self.judged == lesson.key else self._problem(lesson)
        if problem is None or not lesson.woven:
            return
        if self.behind:
            self._better(lesson, problem)
            self.behind = False
        found = None if stale() else judge(problem, stale)
        if found is None:
            return
        self.choice = found.choice
        self.session.doubtful = lesson.at[found.doubtful].tolist()
        if stale():
            return
        self._publish(lesson, found.taught)
        if lesson.labels >= MORE * self.drawn_at:
            curve = curve_of(problem, self.choice, stale)
            if stale():
                return
            self.session.curve, self.drawn_at = curve, lesson.labels
        self.judged = lesson.key
        self.session.changed()

    def _better(self, lesson: Lesson, problem: Problem) -> None:
        before = time.perf_counter()
        self._publish(lesson, teach(problem, self.choice))
        self.seconds = time.perf_counter() - before

    def _ignorant(self, lesson: Lesson) -> bool:
        """Whether some class with a label is none of the model's."""
        guess = self.session.guess
        known = np.empty(0) if guess is None else np.array(guess.classes)[guess.present]
        return bool(np.setdiff1d(lesson.targets[lesson.targets >= 0], known).size)

    def _problem(self, lesson: Lesson) -> Problem | None:
        if len(np.unique(lesson.targets[lesson.targets >= 0])) < 2:
            return None
        return pose(lesson.space, lesson.columns, self.session.seed)

    def _publish(self, lesson: Lesson, taught: Taught) -> None:
        n, count = len(self.session.gallery), len(lesson.classes)
        shares, seen = np.zeros((n, count), dtype=np.float32), np.zeros(n, dtype=bool)
        shares[lesson.at] = taught.says(lesson.space, count)
        seen[lesson.at] = True
        self.fits += 1
        name = f"{taught.learner}-{lesson.labels}-{self.fits}"
        with self.session.lock:
            guess = Guess(name, taught.learner, lesson.labels, lesson.classes, shares, seen)
            self.session.guess = guess.grown(len(self.session.gallery))
            self.session.changed()
