"""Clusters of the latent space: do groups found without labels agree with the classes?"""

from __future__ import annotations

import warnings
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import linear_sum_assignment
from sklearn.cluster import KMeans
from sklearn.exceptions import ConvergenceWarning
from sklearn.metrics import adjusted_rand_score, normalized_mutual_info_score, silhouette_score
from sklearn.metrics.cluster import contingency_matrix

from lll.errors import UserError

SILHOUETTE_MOST = 10_000
"""Points that a silhouette looks at: its time grows with their square."""


@dataclass(frozen=True)
class Agreement:
    """How far a clustering agrees with the classes; each is 1 for the same grouping.

    ``nmi``: mutual information of clusters and classes over the mean of their entropies, 0
    if they are independent (Strehl and Ghosh 2002; arithmetic mean as in Vinh et al. 2010).
    ``ari``: Rand index, the share of pairs of points that both groupings treat alike,
    adjusted so that chance is 0 on average; can be negative (Hubert and Arabie 1985).
    ``matched_accuracy``: see `matched_accuracy`.
    """

    nmi: float
    ari: float
    matched_accuracy: float


def k_means(points: NDArray[np.float32], clusters: int, seed: int) -> NDArray[np.int64]:
    """A cluster [n], 0 to ``clusters`` - 1, for each of ``points`` [n, d].

    The best of ten seeded starts by the sum of squared distances to the centres (Lloyd
    1982; starts by k-means++, Arthur and Vassilvitskii 2007). Points that all coincide leave
    clusters empty. Raises UserError for fewer points than clusters.
    """
    if len(points) < clusters:
        raise UserError(
            f"k-means with {clusters} clusters needs {clusters} images or more"
            f" (found {len(points)})"
        )
    with warnings.catch_warnings():
        # Collapsed encodings have fewer distinct points: the figures below say so.
        warnings.filterwarnings("ignore", "Number of distinct clusters", ConvergenceWarning)
        model = KMeans(clusters, n_init=10, random_state=seed % 2**32)
        return np.asarray(model.fit_predict(points), dtype=np.int64)


def agreement(clusters: NDArray[np.int64], labels: NDArray[np.int64]) -> Agreement:
    """NMI, ARI and matched accuracy of ``clusters`` [n] against the true ``labels`` [n]."""
    return Agreement(
        nmi=float(normalized_mutual_info_score(labels, clusters)),
        ari=float(adjusted_rand_score(labels, clusters)),
        matched_accuracy=matched_accuracy(clusters, labels),
    )


def matched_accuracy(clusters: NDArray[np.int64], labels: NDArray[np.int64]) -> float:
    """Accuracy of ``clusters`` [n] under the best one-to-one naming of clusters by classes.

    The naming is found by the Hungarian method (Kuhn 1955); it looks at ``labels`` [n], so
    this is a figure of the grouping and not of a classifier. Used so by Yang et al. 2010,
    "Image clustering using local discriminant models and global integration". Where there
    are more clusters than classes, the images of clusters left without a name count as wrong.
    """
    counts = contingency_matrix(labels, clusters)
    rows, columns = linear_sum_assignment(counts, maximize=True)
    return float(counts[rows, columns].sum() / len(labels))


def silhouette(
    points: NDArray[np.float32], groups: NDArray[np.int64], seed: int, most: int = SILHOUETTE_MOST
) -> float | None:
    """How much nearer ``points`` [n, d] lie to their own group [n] than to the next one.

    The mean over points of (b - a) / max(a, b), in [-1, 1]: a is the mean Euclidean distance
    to the other points of the group, b that to the points of the nearest other group
    (Rousseeuw 1987). Above ``most`` points it is that of ``most`` drawn by ``seed``. None
    where it is not defined: with one group, or with each point in a group of its own.
    """
    drawn = np.arange(len(points))
    if len(points) > most:
        drawn = np.random.default_rng(seed).choice(len(points), most, replace=False)
    points, groups = points[drawn], groups[drawn]
    if not 2 <= len(np.unique(groups)) < len(points):
        return None
    return float(silhouette_score(points, groups))
