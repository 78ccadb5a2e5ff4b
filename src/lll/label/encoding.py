"""Features of a folder's images, a few at a time, so that the page can use what is there."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from lll.data.cache import cache_folder
from lll.data.decoding import decode_all
from lll.data.imageset import ImageSet
from lll.label.gallery import Gallery
from lll.labels.events import UNLABELLED
from lll.learn.feature_store import FeatureStore
from lll.learn.features import features_of
from lll.nets.encoders import find_encoder
from lll.nets.frozen import Frozen, frozen_encoder
from lll.seeding import numpy_generator

ENCODER = "efficientnet_lite2"
RESIZE = "crop"  # as `lll train` does with this encoder, which then finds the features
CHUNK = 64

Rows = NDArray[np.intp]
Encoded = tuple[Rows, NDArray[np.float16], dict[int, str]]
"""Numbers of images [m], their features [m, d], and of others why they cannot be read."""


def encoded(
    gallery: Gallery, wanted: NDArray[np.bool_], cache: Path | None, seed: int = 0
) -> Iterator[Encoded]:
    """Features of the ``wanted`` images [n]: those that are kept, then others in random order.

    They are kept by the state of the file too, so that the next start decodes nothing.
    """
    encoder = frozen_encoder(ENCODER)
    store = FeatureStore(folder_of(encoder, cache), encoder.width)
    keys = [photo.stamp for photo in gallery.photos]
    found = store.find(keys)
    kept = np.flatnonzero(wanted & (found >= 0))
    if len(kept):
        yield kept, store.read(found[kept]), {}
    missing = numpy_generator(seed, "encoding").permutation(np.flatnonzero(wanted & (found < 0)))
    for start in range(0, len(missing), CHUNK):
        rows, features, broken = _encode(gallery, missing[start : start + CHUNK], encoder, cache)
        if len(rows):
            store.add([keys[row] for row in rows], features)
        yield rows, features, broken


def _encode(gallery: Gallery, wanted: Rows, encoder: Frozen, cache: Path | None) -> Encoded:
    photos = [gallery.photos[row] for row in wanted]
    names = [photo.path for photo in photos]
    images, kept, skipped = decode_all(
        names, [photo.read for photo in photos], encoder.size, RESIZE
    )
    broken = {gallery.at[skip.path]: skip.reason for skip in skipped}
    rows = wanted[kept]
    if not len(rows):
        return rows, np.empty((0, encoder.width), np.float16), broken
    labels = np.full(len(rows), UNLABELLED, dtype=np.int64)
    part = ImageSet(images, labels, np.array([gallery.photos[row].path for row in rows]))
    return rows, features_of(part, encoder, views=0, cache=cache).base, broken


def folder_of(encoder: Frozen, cache: Path | None) -> Path:
    """Where features are kept by what the files are."""
    name = f"{encoder.name}-{encoder.size}-{encoder.hash}-{RESIZE}-by-file"
    return cache_folder(cache) / "features" / name


def last_features() -> int | None:
    """How many features, the first ones, are of the encoder's last layer; None for all."""
    return find_encoder(ENCODER).last
