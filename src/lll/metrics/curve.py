"""What twice the labels would bring: a learning curve, carried on with a band."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float
from numpy.typing import NDArray

SHARES = (0.25, 0.5, 1.0)  # of the labels that a model is taught with
DRAWS = 1000
BAND = (0.025, 0.975)
WORTH = 0.02  # of all images: a gain that is worth as many labels again


@dataclass(frozen=True)
class Curve:
    """Accuracy with each of `SHARES` of the labels, and with twice as many as there are.

    Each has its 95% interval: ``accuracy`` [3] and ``low`` and ``high`` [3]; ``gain`` is what
    twice the labels would bring, from ``least`` to ``most``.
    """

    accuracy: tuple[float, ...]
    low: tuple[float, ...]
    high: tuple[float, ...]
    gain: float
    least: float
    most: float

    @property
    def limited_by(self) -> str:
        """``labels`` or ``model``, by what twice the labels would bring; ``""`` if none can tell.

        Labels where that is surely more than nothing and likely `WORTH` it, the model where it
        is surely less.
        """
        if self.least > 0 and self.gain >= WORTH:
            return "labels"
        return "model" if self.most < WORTH else ""


def learning_curve(right: Bool[np.ndarray, "3 m"], seed: int) -> Curve:
    """The curve of m held-out labels: ``right`` says which a model with each share predicts.

    The error is taken for a + b n^-c of n labels (Cortes et al. 1993, "Learning curves: asymptotic
    values and rate of convergence"), so each doubling gains the same share of what the one before
    gained; that share is held between 0 and 1. The bands are those of the bootstrap over labels.
    """
    # Labels differ only by which of the models are right: to draw labels is to draw such kinds.
    kinds, counts = np.unique(right, axis=1, return_counts=True)
    labels = right.shape[1]
    draws = np.random.default_rng(seed).multinomial(labels, counts / labels, size=DRAWS)
    drawn = kinds @ draws.T / labels
    low, high = np.quantile(drawn, BAND, axis=1)
    known = right.mean(axis=1)
    gain = float(_next_gain(known[:, None])[0])
    least, most = np.minimum(np.quantile(_next_gain(drawn), BAND), 1 - known[2])
    rows = [tuple(row.tolist()) for row in (known, low, high)]
    return Curve(rows[0], rows[1], rows[2], gain, float(least), float(most))


def _next_gain(accuracy: Float[np.ndarray, "3 b"]) -> Float[np.ndarray, " b"]:
    """What the next doubling gains by the two before it; no more than there is left to gain."""
    before, last = np.diff(accuracy, axis=0)
    share = np.where(before > 0, last / np.where(before > 0, before, 1), 1)
    gain: NDArray[np.float64] = last * np.clip(share, 0, 1)
    return np.clip(gain, 0, 1 - accuracy[2])
