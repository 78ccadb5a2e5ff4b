"""What a query strategy sees: features, the labels so far, and what the model says."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int
from numpy.typing import NDArray

POOL = 10_000  # images that a strategy looks at; more cost time and change little
WIDTH = 64  # of the space that distances are measured in


@dataclass(frozen=True)
class Candidates:
    """Images of which some are labelled, and the rest may be asked about.

    ``features`` [n, d], of any scale; ``targets`` [n], -1 where there is no label yet;
    ``probabilities`` [n, c] of a model that was fitted on the labels, or None before there is
    one; ``closed`` [n] marks images not to be asked about although they have no label (skipped).
    """

    features: Float[np.ndarray, "n d"]
    targets: Int[np.ndarray, " n"]
    probabilities: Float[np.ndarray, "n c"] | None = None
    closed: NDArray[np.bool_] | None = None

    @property
    def open(self) -> NDArray[np.intp]:
        """Positions of the images that may be asked about."""
        free = self.targets < 0
        return np.flatnonzero(free if self.closed is None else free & ~self.closed)

    @property
    def labelled(self) -> NDArray[np.intp]:
        """Positions of the images with a label."""
        return np.flatnonzero(self.targets >= 0)


Strategy = Callable[[Candidates, int, np.random.Generator], NDArray[np.intp]]
"""From candidates, a count and a generator to the positions to ask about next.

They are distinct, unlabelled and in the order to ask; fewer than ``count`` only where fewer are
open.
"""


def pool_of(candidates: Candidates, generator: np.random.Generator) -> NDArray[np.intp]:
    """The positions a strategy looks at: every labelled image and at most `POOL` open ones."""
    free = candidates.open
    if len(free) > POOL:
        free = np.sort(generator.choice(free, POOL, replace=False))
    return np.concatenate([candidates.labelled, free])


def space_of(
    features: Float[np.ndarray, "n d"], generator: np.random.Generator
) -> Float[np.ndarray, "n w"]:
    """Directions from the mean, on at most `WIDTH` principal components, at length 1."""
    from sklearn.utils.extmath import randomized_svd

    points = _unit(np.asarray(features, dtype=np.float32))
    points -= points.mean(axis=0)
    left, scales, _ = randomized_svd(
        points, min(WIDTH, *points.shape), random_state=int(generator.integers(2**31))
    )
    return _unit(left * scales)


def _unit(points: Float[np.ndarray, "n d"]) -> Float[np.ndarray, "n d"]:
    lengths = np.linalg.norm(points, axis=1, keepdims=True)
    out: NDArray[np.float32] = points / np.maximum(lengths, np.float32(1e-12))
    return out
