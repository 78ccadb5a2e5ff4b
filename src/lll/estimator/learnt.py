"""What a fitted estimator keeps, and how it grows: images seen, weights, optimizer states."""

from __future__ import annotations

import copy
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from lll.config import RunConfig
from lll.data.imageset import ImageSet
from lll.estimator.labels import Labels
from lll.labels.events import UNLABELLED
from lll.learn.device import pick_device
from lll.learn.learner import Learner
from lll.seeding import keyed_order


@dataclass(frozen=True)
class Learnt:
    """The outcome of a call of fit or partial_fit, all of it on the host.

    ``classes`` [c] are in the order in which they came: a class keeps its index for ever.
    ``rows`` [r] says which class each output of the heads is: classes get one with their
    first labelled image. ``seen`` are the
    images to rehearse, labelled with class indices. ``calls`` counts the calls so far.
    """

    classes: Labels
    rows: NDArray[np.int64]
    learner: Learner
    seen: ImageSet
    seed: int
    calls: int

    @property
    def features(self) -> int:
        """The width d of the encodings."""
        return int(self.learner.parts["probe"].get_parameter("weight").shape[1])


def joined(seen: ImageSet, new: ImageSet) -> ImageSet:
    """``seen`` with the ``new`` images; one that is in both takes its new label, if it has one."""
    row_of = {str(name): row for row, name in enumerate(seen.ids)}
    rows = np.array([row_of.get(str(name), -1) for name in new.ids])
    labels = seen.labels.copy()
    told = (rows >= 0) & (new.labels != UNLABELLED)
    labels[rows[told]] = new.labels[told]
    fresh = new.take(rows < 0)
    return ImageSet(
        np.concatenate([seen.images, fresh.images]),
        np.concatenate([labels, fresh.labels]),
        np.concatenate([seen.ids, fresh.ids]),
    )


def thinned(seen: ImageSet, most: int | None, seed: int) -> ImageSet:
    """At most ``most`` images of each class, and of the unlabelled, chosen by id."""
    if most is None:
        return seen
    keep = np.zeros(len(seen), dtype=bool)
    for label in np.unique(seen.labels):
        members = np.flatnonzero(seen.labels == label)
        keep[members[keyed_order(seen.ids[members].tolist(), seed, "replay")[:most]]] = True
    return seen.take(keep)


def rows_for(old: NDArray[np.int64], labels: NDArray[np.int64]) -> NDArray[np.int64]:
    """``old`` rows of the heads, then one for each further class that ``labels`` [n] has."""
    return np.concatenate([old, np.setdiff1d(labels, [*old, UNLABELLED])]).astype(np.int64)


def as_rows(rows: NDArray[np.int64], labels: NDArray[np.int64], classes: int) -> NDArray[np.int64]:
    """``labels`` [n], class indices or -1, as rows of the heads or -1."""
    row_of = np.full(classes + 1, UNLABELLED, dtype=np.int64)  # the last entry is that of -1
    row_of[rows] = np.arange(len(rows))
    return row_of[labels]


def revived(learnt: Learnt, rows: int, config: RunConfig) -> Learner:
    """A learner that goes on from ``learnt`` with heads of ``rows`` outputs.

    It is in the last stage of its method. ``learnt`` itself stays as it is.
    """
    learner = copy.deepcopy(learnt.learner).train()
    learner.config = config
    learner.stage = len(learner.stages) - 1
    learner.place(pick_device(config.device))
    learner.grow(rows)
    return learner
