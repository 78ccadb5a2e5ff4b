"""Linear probe: how much of the class can be read from frozen encodings by one linear layer?"""

from __future__ import annotations

import warnings

import numpy as np
from numpy.typing import NDArray
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from lll.metrics.points import check_classes

UPDATES = 1000  # at most, of the solver


def linear_probe_accuracy(
    train: NDArray[np.float32],
    train_labels: NDArray[np.int64],
    test: NDArray[np.float32],
    test_labels: NDArray[np.int64],
) -> float:
    """Accuracy on ``test`` [m, d] of a logistic regression fitted to ``train`` [n, d].

    Multinomial, L2-regularised with C = 1, on features brought to mean 0 and variance 1 by
    ``train``; nothing in it is random. Labels [n] and [m] are all 0 or more. Raises UserError
    for training points of fewer than two classes, and for no test point.

    Source: Alain and Bengio 2016, "Understanding intermediate layers using linear classifier
    probes"; fitted to the end, instead of by some epochs of gradient descent. It is told every
    label in ``train``, more than the run knew: it measures the encodings, not the run.
    """
    check_classes(train_labels, "labelled training images", 2)
    check_classes(test_labels, "labelled test images", 1)
    probe = make_pipeline(StandardScaler(), LogisticRegression(max_iter=UPDATES))
    with warnings.catch_warnings():
        # So many updates come as close as the printed digits show.
        warnings.simplefilter("ignore", ConvergenceWarning)
        probe.fit(train, train_labels)
    return float(probe.score(test, test_labels))
