"""A hash of all that is in a data set: what a run and a cache know their data by."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Any

import numpy as np

from lll.data.imageset import DataSet

if TYPE_CHECKING:
    from numpy.typing import NDArray

CHUNK_BYTES = 4 * 2**20


def fingerprint(data: DataSet) -> str:
    """A hash of the ids, labels and pixels of ``data``, equal only for equal data.

    Read a chunk at a time, so that images in a mapped file are never all in memory.
    """
    digest = hashlib.blake2b(digest_size=16)
    for part in data.parts.values():
        for array in (part.images, part.labels, part.ids):
            rows = max(1, CHUNK_BYTES * len(array) // max(array.nbytes, 1))
            for start in range(0, len(array), rows):
                digest.update(_bytes(array[start : start + rows]))
    return digest.hexdigest()


def _bytes(chunk: NDArray[Any]) -> memoryview:
    return np.ascontiguousarray(chunk).reshape(-1).view(np.uint8).data
