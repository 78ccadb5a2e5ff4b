"""Accuracy of k nearest neighbours: do near encodings show the same class?"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from sklearn.neighbors import NearestNeighbors

from lll.errors import UserError
from lll.metrics.points import check_classes


def neighbour_accuracy(
    train: NDArray[np.float32],
    train_labels: NDArray[np.int64],
    test: NDArray[np.float32],
    test_labels: NDArray[np.int64],
    ks: Sequence[int],
) -> dict[int, float]:
    """For each k, the share of ``test`` [m, d] that its k nearest in ``train`` [n, d] classify.

    Each neighbour has one vote; a tie goes to the class with the lower index. Distance is
    Euclidean on the encodings as they are, as in k-means and in the silhouette. Labels [n]
    and [m] are all 0 or more. Raises UserError for fewer than k training points, and for no
    test point.

    Source: Cover and Hart 1967, "Nearest neighbor pattern classification"; as a figure of an
    encoder, Wu et al. 2018, "Unsupervised feature learning via non-parametric instance
    discrimination", who weight the votes and compare angles, which this does not.
    """
    most = max(ks)
    if len(train) < most:
        raise UserError(f"needs {most} labelled training images (found {len(train)})")
    check_classes(test_labels, "labelled test images", 1)
    search = NearestNeighbors(n_neighbors=most, algorithm="brute").fit(train)
    near = train_labels[search.kneighbors(test, return_distance=False)]
    return {k: float(np.mean(_vote(near[:, :k]) == test_labels)) for k in ks}


def _vote(near: NDArray[np.int64]) -> NDArray[np.int64]:
    """The most frequent label of each row of ``near`` [m, k]; the lowest of equals."""
    rows, classes = len(near), int(near.max()) + 1
    cells = near + classes * np.arange(rows)[:, None]
    votes = np.bincount(cells.ravel(), minlength=rows * classes).reshape(rows, classes)
    return np.asarray(votes.argmax(axis=1), dtype=np.int64)
