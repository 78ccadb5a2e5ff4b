"""How well a score tells images of known classes from others."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

BINS = 10


def auroc(outside: NDArray[np.bool_], scores: NDArray[np.float32]) -> float:
    """The chance that an image ``outside`` [n] the known classes has the higher of two ``scores``.

    0.5 is chance; equal scores count half. Both kinds must be there.
    """
    from sklearn.metrics import roc_auc_score

    return float(roc_auc_score(outside, scores))


def calibration_error(outside: NDArray[np.bool_], scores: NDArray[np.float32]) -> float:
    """How far ``scores`` [n], as probabilities of being ``outside`` [n], are off on average.

    Both kinds of images count as equally many, as scores say it. Ten bins of equal width, each
    weighed by its images (Naeini et al. 2015, "Obtaining well calibrated probabilities").
    """
    weights = np.where(outside, 0.5 / outside.sum(), 0.5 / (~outside).sum())
    bins = np.minimum((scores * BINS).astype(np.intp), BINS - 1)
    sums = [np.bincount(bins, w, BINS) for w in (weights * outside, weights * scores)]
    return float(np.abs(sums[0] - sums[1]).sum())
