"""The known points nearest to others, by angle."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

CHUNK = 1024  # points compared with all known ones at a time


def nearest(
    points: NDArray[np.float32], known: NDArray[np.float32], count: int
) -> tuple[NDArray[np.intp], NDArray[np.float32]]:
    """Positions and cosines [n, k] of the k of ``known`` [m, d] nearest to ``points`` [n, d].

    k is ``count``, or m if that is less. The nearest comes first, of equals the one at the lower
    position. A point of length 0 has cosine 0 with all.
    """
    known = _unit(known)
    at = [np.empty((0, min(count, len(known))), np.intp)]
    cosines = [np.empty(at[0].shape, np.float32)]
    for start in range(0, len(points), CHUNK):
        found = _unit(points[start : start + CHUNK]) @ known.T
        at.append(np.argsort(-found, axis=1, kind="stable")[:, :count])
        cosines.append(np.take_along_axis(found, at[-1], axis=1))
    return np.concatenate(at), np.concatenate(cosines)


def _unit(points: NDArray[np.float32]) -> NDArray[np.float32]:
    lengths = np.linalg.norm(points, axis=1, keepdims=True)
    return np.asarray(points / np.where(lengths > 0, lengths, 1), dtype=np.float32)
