"""Prediction sets: which classes must be named to be wrong no oftener than a chosen error?

Split-conformal, or cross-conformal where the scores come from cross-validation. The promise
holds on average over images like the labelled ones (exchangeable with them), not for each
class or each image. Source: Vovk 2015, "Cross-conformal predictors"; Sadinle et al. 2019,
"Least ambiguous set-valued classifiers with bounded error levels".

The sets of a method on features, at an error of 5 %::

    scores = learner.parts["calibration"].nonconformity.cpu().numpy()
    threshold = conformal_threshold(scores, 0.05)  # None: too few labels, and say so
    sets = prediction_sets(encode(learner, inputs).probabilities, threshold)

Other methods have no part ``calibration``: nothing was held out, so there are no sets.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lll.errors import UserError

Floats = NDArray[np.floating[Any]]


def nonconformity(probabilities: Floats, labels: NDArray[np.int64]) -> Floats:
    """One minus the probability [t] of the true class, from ``probabilities`` [t, c]."""
    return np.asarray(1 - probabilities[np.arange(len(labels)), labels])


def conformal_threshold(scores: Floats, error: float = 0.05) -> float | None:
    """The largest nonconformity that a class may have to be in a set; None: too few labels.

    It is the ceil((t + 1)(1 - error))-th smallest of ``scores`` [t]. An error of 5 % needs 19
    labels or more. None means "not calibrated: too few labels", and must be said.
    """
    if not 0 < error < 1:
        raise UserError(f"the error of prediction sets is {error}: choose a number between 0 and 1")
    # A grain less, so that 20 x 0.95 is 19 in floating point too.
    rank = math.ceil((len(scores) + 1) * (1 - error) - 1e-9)
    return None if rank > len(scores) else float(np.sort(scores)[rank - 1])


def prediction_sets(probabilities: Floats, threshold: float | None) -> NDArray[np.bool_]:
    """Which classes [m, c] are in the set of each row of ``probabilities`` [m, c].

    Without a threshold every class is. The likeliest class always is, so that no set is empty.
    """
    if threshold is None:
        return np.ones(probabilities.shape, dtype=np.bool_)
    sets = 1 - probabilities <= threshold
    sets[np.arange(len(sets)), probabilities.argmax(axis=1)] = True
    return np.asarray(sets, dtype=np.bool_)
