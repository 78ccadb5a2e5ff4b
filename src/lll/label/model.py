"""The model behind the page: logistic regression on features, fitted after each answer."""

from __future__ import annotations

import numpy as np
import torch
from jaxtyping import Float, Int

from lll.errors import UserError
from lll.methods import logistic
from lll.methods.features.fitted import best_scale
from lll.methods.features.problem import Problem
from lll.methods.features.softmax import with_ones
from lll.methods.features.space import Space


def probabilities(
    space: Space, targets: Int[np.ndarray, " n"], classes: int, seed: int
) -> Float[np.ndarray, "n c"]:
    """Of each point of ``space`` the probability of each of ``classes``; 0 for one without a label.

    ``targets`` are class indices, -1 where there is no label. Calibrated on labels held out.
    UserError where fewer than two classes have a label.
    """
    rows = torch.from_numpy(np.flatnonzero(targets >= 0))
    present, labels = torch.unique(torch.from_numpy(targets)[rows], return_inverse=True)
    if len(present) < 2:
        raise UserError("a model needs labels of two classes at least: label some more")
    answer = logistic.answer(Problem(space, rows, labels, present, seed))
    scale = best_scale(answer.held, answer.truth)
    out = torch.zeros(len(space.points), classes)
    out[:, present] = torch.softmax(scale * (with_ones(space.points) @ answer.weights), dim=1)
    return out.numpy()
