"""Images that are nearly the same."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float

CLOSE = 0.985  # cosine from which on two images are taken for copies
CHUNK = 512


def twins(points: Float[np.ndarray, "n d"]) -> list[list[int]]:
    """Groups of rows whose ``points``, of length 1, nearly coincide; largest group first.

    Each row is compared with all others, a few at a time.
    """
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    pairs = [np.empty((2, 0), dtype=np.intp)]
    for start in range(0, len(points), CHUNK):
        near = points[start : start + CHUNK] @ points[start:].T >= CLOSE
        one, other = np.nonzero(near)
        pairs.append(np.stack([one, other])[:, one < other] + start)
    one, other = np.concatenate(pairs, axis=1)
    graph = coo_array((np.ones(len(one), dtype=bool), (one, other)), (len(points), len(points)))
    _, group = connected_components(graph, directed=False)
    members = np.argsort(group, kind="stable")
    split = np.split(members, np.flatnonzero(np.diff(group[members])) + 1)
    found = [rows.tolist() for rows in split if len(rows) > 1]
    return sorted(found, key=len, reverse=True)
