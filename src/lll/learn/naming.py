"""A class with its first labels takes the output in which its images have gathered so far."""

from __future__ import annotations

import logging

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.optimize import linear_sum_assignment

from lll.learn.feeding import channels_first
from lll.learn.learner import Learner
from lll.learn.prepare import Prepared

BATCH, MOST = 500, 1000  # rows at once, and rows to look at of all new names together


def name_outputs(prepared: Prepared, learner: Learner, epoch: int) -> None:
    """Exchange outputs, so that classes named at ``epoch`` have those of their images' groups.

    Only of a method whose outputs without a name gather images. Without this, labels would pull
    the images of a class away from their group into an output where others have gathered,
    and both groups would be lost.
    """
    if epoch == 0 or not learner.method.gathers:
        return
    before, known = prepared.labels.at(epoch - 1), prepared.labels.at(epoch)
    named = np.setdiff1d(known.targets, before.targets)
    if not len(named) or not len(before.targets):
        return
    at = np.flatnonzero(np.isin(known.targets, named))
    at = at[:: -(-len(at) // MOST)]
    inputs, rows = prepared.train.inputs, known.labelled[at]
    logits = [
        learner.logits(channels_first(inputs[rows[i : i + BATCH]]))
        for i in range(0, len(rows), BATCH)
    ]
    answers = torch.cat(logits).softmax(dim=1).cpu().numpy()
    order = order_of(answers, known.targets[at], np.unique(before.targets))
    learner.exchange(prepared.ranks.from_first(order.tolist()))


def say_if_all_named(prepared: Prepared) -> None:
    """Warn where outputs would gather images of classes without labels, and there is none."""
    names = prepared.facts.class_names
    if prepared.config.how.gathers and len(np.unique(prepared.labels.at(0).targets)) == len(names):
        logging.getLogger("lll").warning(
            "method %r: all %d classes have labels from the first epoch, so images of other classes"
            " have no output to gather in: `lll discover` groups these",
            prepared.config.method,
            len(names),
        )


def order_of(
    answers: NDArray[np.float32], targets: NDArray[np.int64], taken: NDArray[np.int64]
) -> NDArray[np.int64]:
    """Which output [k] each class is to have now, from ``answers`` [n, k] for rows of new classes.

    ``targets`` [n] are the classes of the rows. Outputs ``taken`` by earlier classes stay. Each new
    class takes a free one, so that the mean answers for their rows add up to the most (Hungarian
    method); outputs that it pushes aside stay free.
    """
    order = np.arange(answers.shape[1])
    named, free = np.unique(targets), np.setdiff1d(order, taken)
    means = np.stack([answers[targets == c].mean(axis=0) for c in named])
    at, column = linear_sum_assignment(-means[:, free])
    given = free[column]
    order[np.setdiff1d(given, named)] = np.setdiff1d(named, given)
    order[named[at]] = given
    return order
