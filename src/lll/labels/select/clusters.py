"""k-means over candidates, and which of its clusters have no label yet."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from dataclasses import dataclass
from itertools import zip_longest

import numpy as np
from jaxtyping import Float, Int
from numpy.typing import NDArray

from lll.labels.select.candidates import Candidates, pool_of, space_of

FIRST, GROWTH, MOST = 10, 4, 640  # clusters: so few at first, so many times more, no more
SPREAD = 160  # clusters at most that begin far apart; to begin more of them so takes a second
ROUNDS = 30


@dataclass(frozen=True)
class Clusters:
    """Candidates in clusters.

    ``at`` [m] their positions, ``points`` [m, w] in the space of distances, ``of`` [m] the
    cluster of each, ``centres`` [k, w]; ``order`` lists the clusters without a label, the
    largest first, then the others, those with the fewest labels for their size first.
    """

    at: NDArray[np.intp]
    points: Float[np.ndarray, "m w"]
    of: Int[np.ndarray, " m"]
    centres: Float[np.ndarray, "k w"]
    order: tuple[int, ...]


def clusters_of(
    candidates: Candidates,
    count: int,
    generator: np.random.Generator,
    weights: Float[np.ndarray, " n"] | None = None,
) -> Clusters:
    """Clusters enough for the labels there are and ``count`` more; see `how_many`.

    ``weights`` [n] say how much each candidate counts (None: the same).
    """
    from sklearn.cluster import KMeans
    from sklearn.exceptions import ConvergenceWarning

    at = pool_of(candidates, generator)
    points = space_of(candidates.features[at], generator)
    labelled = candidates.targets[at] >= 0
    k = min(how_many(int(labelled.sum()) + count), len(at))
    init = "k-means++" if k <= SPREAD else "random"
    seed = int(generator.integers(2**31))
    model = KMeans(k, init=init, n_init=1, max_iter=ROUNDS, random_state=seed)
    with warnings.catch_warnings():
        # Where images are equal there are fewer clusters than were asked for.
        warnings.simplefilter("ignore", ConvergenceWarning)
        model.fit(points, sample_weight=None if weights is None else weights[at])
    sizes = np.bincount(model.labels_, None if weights is None else weights[at], minlength=k)
    known = np.bincount(model.labels_[labelled], minlength=k)
    filled = np.flatnonzero(sizes).tolist()
    order = sorted(filled, key=lambda c: (known[c] / sizes[c], -sizes[c]))
    return Clusters(at, points, model.labels_, model.cluster_centers_, tuple(order))


def how_many(labels: int) -> int:
    """How many clusters for ``labels``: few steps, so that one round fills what the last began."""
    k = FIRST
    while k < min(labels, MOST):
        k *= GROWTH
    return min(k, MOST)


Typical = Callable[[Clusters, NDArray[np.intp]], Float[np.ndarray, " b"]]
"""How typical some members [b] of one cluster are, all of them rows of the clusters."""


def best_of_each(
    candidates: Candidates, clusters: Clusters, count: int, typical: Typical
) -> NDArray[np.intp]:
    """Positions of ``count`` open images: the most typical of each cluster, in their order.

    Where there are fewer clusters than ``count``, further rounds take the next ones.
    """
    ranked = [_ranked(candidates, clusters, cluster, typical) for cluster in clusters.order]
    rounds = zip_longest(*ranked, fillvalue=-1)
    picked = [at for row in rounds for at in row if at >= 0]
    return np.array(picked[:count], dtype=np.intp)


def _ranked(
    candidates: Candidates, clusters: Clusters, cluster: int, typical: Typical
) -> list[int]:
    """Positions of the open images of a cluster, the most typical first."""
    members = np.flatnonzero(clusters.of == cluster)
    scores = typical(clusters, members)
    ranked = clusters.at[members[np.argsort(-scores, kind="stable")]]
    picked: list[int] = ranked[candidates.targets[ranked] < 0].tolist()
    return picked
