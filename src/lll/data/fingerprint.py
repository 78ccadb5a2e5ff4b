"""What a run and a cache know their data by: hashes of images, of ids and of labels."""

from __future__ import annotations

import hashlib
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lll.data.imageset import DataSet
from lll.data.rows import Rows

CHUNK_BYTES = 4 * 2**20
HASH_BYTES = 16


KIND = "images:"
"""How a fingerprint begins; earlier ones were also of the split and the order of the images."""


def fingerprint(data: DataSet) -> str:
    """A hash of all ids and their pixels.

    Labels do not count, they may come and change, nor does the split, which may change with
    them. Images in a file are read a chunk at a time.
    """
    parts = list(data.parts.values())
    ids = np.concatenate([part.ids for part in parts])
    hashes = np.concatenate([image_hashes(part.images) for part in parts])
    order = np.argsort(ids)
    digest = hashlib.blake2b(digest_size=HASH_BYTES)
    digest.update("\0".join([*ids[order], ""]).encode(errors="surrogatepass"))
    digest.update(hashes[order].data)
    return KIND + digest.hexdigest()


def image_hashes(images: NDArray[np.uint8] | Rows) -> NDArray[np.uint8]:
    """A hash [n, 16] of the content of each of the images [n, h, w, 3], wherever it is."""
    hashes = bytearray()
    rows = max(1, CHUNK_BYTES * len(images) // max(images.nbytes, 1))
    for start in range(0, len(images), rows):
        for image in np.ascontiguousarray(images[start : start + rows]):
            hashes += hashlib.blake2b(image.data, digest_size=HASH_BYTES).digest()
    return np.frombuffer(hashes, np.uint8).reshape(len(images), HASH_BYTES)


def labels_hash(data: DataSet) -> str:
    """A hash of the labels of each split, in their order."""
    return array_hash(*(part.labels for part in data.parts.values()))


def array_hash(*arrays: NDArray[Any]) -> str:
    """A hash of the content of ``arrays``."""
    digest = hashlib.blake2b(digest_size=HASH_BYTES)
    for array in arrays:
        digest.update(np.ascontiguousarray(array).reshape(-1).view(np.uint8).data)
    return digest.hexdigest()
