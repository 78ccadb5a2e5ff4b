"""``medoids``: the image nearest to the centre of each k-means cluster that has no label yet."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float
from numpy.typing import NDArray

from lll.labels.select.candidates import Candidates
from lll.labels.select.clusters import Clusters, best_of_each, clusters_of


def medoids(candidates: Candidates, count: int, generator: np.random.Generator) -> NDArray[np.intp]:
    """``count`` open images, each typical of a part of the data without a label."""
    return best_of_each(candidates, clusters_of(candidates, count, generator), count, nearness)


def nearness(clusters: Clusters, members: NDArray[np.intp]) -> Float[np.ndarray, " b"]:
    """Of ``members`` [b] (rows of the clusters) minus the squared distance to their centre."""
    centre = clusters.centres[clusters.of[members[0]]]
    distances: NDArray[np.float32] = np.square(clusters.points[members] - centre).sum(axis=1)
    return -distances
