"""``auto``: typical images first, then various ones among those that the model is unsure of."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from lll.labels.select.candidates import Candidates
from lll.labels.select.clusters import best_of_each, clusters_of
from lll.labels.select.margin import uncertainty
from lll.labels.select.medoids import medoids, nearness

ENOUGH = 5  # labels per class seen, on average, before the model is asked
WIDE, SHARE = 50, 0.25  # unsure images looked at: times those asked for; of all, at most
LEAST = 1e-3  # weight of an image that the model is sure of


def auto(candidates: Candidates, count: int, generator: np.random.Generator) -> NDArray[np.intp]:
    """``count`` open images: `medoids`, later those of the images that the model is least sure of.

    Groups that the labels have missed are found by the second: no class is sure there.
    """
    known = candidates.targets[candidates.labelled]
    shares = candidates.probabilities
    if shares is None or len(known) < ENOUGH * len(np.unique(known)):
        return medoids(candidates, count, generator)
    free = candidates.open
    unsure = uncertainty(shares[free])
    first = np.argsort(-unsure, kind="stable")[: _how_many(count, len(free))]
    at = free[first]
    if not len(at):
        return at
    among = Candidates(candidates.features[at], candidates.targets[at])
    clusters = clusters_of(among, count, generator, unsure[first] + LEAST)
    return at[best_of_each(among, clusters, count, nearness)]


def _how_many(count: int, free: int) -> int:
    return max(count, min(WIDE * count, int(SHARE * free)))
