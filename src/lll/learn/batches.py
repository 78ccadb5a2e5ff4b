"""Which images go into which minibatch: a pure function of (pools, sizes, seed, epoch)."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from lll.seeding import numpy_generator


@dataclass(frozen=True)
class BatchIndex:
    """Positions in the training images of one step's labelled [l] and unlabelled [u] images."""

    labelled: NDArray[np.intp]
    unlabelled: NDArray[np.intp]


def epoch_batches(
    labelled: NDArray[np.intp],
    unlabelled: NDArray[np.intp],
    *,
    batch_size: int,
    labelled_batch_size: int | None,
    seed: int,
    epoch: int,
) -> list[BatchIndex]:
    """The minibatches of ``epoch``, each with its share of both pools.

    With ``labelled_batch_size`` None both pools are passed once, in about
    ``(l + u) / batch_size`` steps whose shares differ by one image at most; a pool smaller
    than the number of steps is missing from some of them. With a number, the unlabelled
    pool is passed once and each step draws that many labelled images with replacement, as
    in FixMatch (Sohn et al. 2020, section 2.4).
    """
    rng = numpy_generator(seed, "batches", epoch)
    if labelled_batch_size is None or not len(labelled):
        steps = -(-(len(labelled) + len(unlabelled)) // batch_size)
        shares = _shares(rng.permutation(labelled), steps)
    else:
        rest = batch_size - labelled_batch_size
        steps = -(-len(unlabelled) // rest) or -(-len(labelled) // labelled_batch_size)
        shares = list(rng.choice(labelled, (steps, labelled_batch_size)))
    return [
        BatchIndex(*pair)
        for pair in zip(shares, _shares(rng.permutation(unlabelled), steps), strict=True)
    ]


def _shares(pool: NDArray[np.intp], steps: int) -> list[NDArray[np.intp]]:
    """``pool`` cut into ``steps`` parts that differ by one at most, spread over the steps."""
    cuts = np.arange(steps + 1) * len(pool) // max(steps, 1)
    return [pool[a:b] for a, b in pairwise(cuts)]
