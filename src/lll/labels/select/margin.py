"""``margin``: images whose two likeliest classes are close to each other."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float
from numpy.typing import NDArray

from lll.labels.select.candidates import Candidates
from lll.labels.select.random import random


def margin(candidates: Candidates, count: int, generator: np.random.Generator) -> NDArray[np.intp]:
    """The ``count`` open images that the model is least sure of; random ones without a model."""
    if candidates.probabilities is None:
        return random(candidates, count, generator)
    free = candidates.open
    unsure = uncertainty(candidates.probabilities[free])
    return free[np.argsort(-unsure, kind="stable")[:count]]


def uncertainty(probabilities: Float[np.ndarray, "n c"]) -> Float[np.ndarray, " n"]:
    """1 minus the distance of the two largest probabilities of each row; 0 for one class."""
    if probabilities.shape[1] < 2:
        return np.zeros(len(probabilities))
    top = np.partition(probabilities, -2, axis=1)[:, -2:]
    return 1 - (top[:, 1] - top[:, 0])
