"""``auto``: typical images first, then those that are typical of what the model is unsure of."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from lll.labels.select.candidates import Candidates
from lll.labels.select.clusters import best_of_each, clusters_of
from lll.labels.select.margin import uncertainty
from lll.labels.select.medoids import medoids, nearness

ENOUGH = 5  # labels per class seen, on average, before the model is asked
LEAST = 1e-3  # weight of an image that the model is sure of


def auto(candidates: Candidates, count: int, generator: np.random.Generator) -> NDArray[np.intp]:
    """``count`` open images: `medoids`, later with images weighted by how unsure the model is.

    Groups that the labels have missed weigh much: no class is sure there.
    """
    known = candidates.targets[candidates.labelled]
    shares = candidates.probabilities
    if shares is None or len(known) < ENOUGH * len(np.unique(known)):
        return medoids(candidates, count, generator)
    weights = uncertainty(shares) + LEAST
    clusters = clusters_of(candidates, count, generator, weights)
    return best_of_each(candidates, clusters, count, nearness)
