"""``typiclust``: the most typical image of each k-means cluster without a label.

Hacohen, Dekel, Weinshall: Active Learning on a Budget: Opposite Strategies Suit High and Low
Budgets (2022).
"""

from __future__ import annotations

import numpy as np
from jaxtyping import Float
from numpy.typing import NDArray

from lll.labels.select.candidates import Candidates
from lll.labels.select.clusters import Clusters, best_of_each, clusters_of

NEIGHBOURS = 20


def typiclust(
    candidates: Candidates, count: int, generator: np.random.Generator
) -> NDArray[np.intp]:
    """``count`` open images, each the most typical one of its cluster."""
    return best_of_each(candidates, clusters_of(candidates, count, generator), count, typicality)


def typicality(clusters: Clusters, members: NDArray[np.intp]) -> Float[np.ndarray, " b"]:
    """Of ``members`` [b] the inverse mean distance to their nearest neighbours in the cluster."""
    from sklearn.neighbors import NearestNeighbors

    k = min(NEIGHBOURS, len(members) - 1)
    if not k:
        return np.zeros(1)
    points = clusters.points[members]
    distances, _ = NearestNeighbors(n_neighbors=k).fit(points).kneighbors()
    typical: NDArray[np.float64] = 1 / (distances.mean(axis=1) + 1e-12)
    return typical
