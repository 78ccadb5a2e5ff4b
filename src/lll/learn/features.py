"""From images to the features of a frozen encoder: computed once, kept, and found again."""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from lll.data.cache import cache_folder
from lll.data.decoding import OnDecoded
from lll.data.imageset import ImageSet
from lll.data.rows import Rows
from lll.data.shaping import resize_all
from lll.errors import UserError
from lll.learn.ahead import ahead
from lll.learn.feature_store import KEY_BYTES, FeatureStore
from lll.nets.frozen import Frozen
from lll.views.geometric import DRAWS, Strength, Views, apply_views, unit_floats, views_from

FORMAT = 1  # of what a kept row means
BATCH = 32  # images of 128 pixels; larger batches leave the processor's cache
HASHED = 256  # images read at a time for their keys
VIEWS = 2
VIEW = Strength(min_area=0.5, brightness=0.0, jitter=0.0, flip=0.5)
"""The augmented views whose features are kept: mirrored or not, at least half of the image."""

Images = NDArray[np.uint8] | Rows
Progress = Callable[[int, int], None]
"""Told of the images encoded so far and of those to encode, views counted."""


@dataclass(frozen=True)
class Features:
    """Features of images: of each as it is, and of its augmented views.

    ``base`` float16 [n, d]; ``views`` [v] float16 [n, d] each; ``ids`` [n] of the images. The
    arrays may be maps of files, which are read when they are indexed, and not to be written.
    """

    base: NDArray[np.float16]
    views: tuple[NDArray[np.float16], ...]
    ids: NDArray[np.str_]

    def __len__(self) -> int:
        return len(self.ids)

    def take(self, index: NDArray[np.intp] | NDArray[np.bool_]) -> Features:
        """The rows that ``index`` (positions or a mask [n]) picks, in its order."""
        return Features(
            self.base[index], tuple(view[index] for view in self.views), self.ids[index]
        )


def features_of(
    images: ImageSet,
    encoder: Frozen,
    *,
    views: int = VIEWS,
    strength: Strength = VIEW,
    cache: Path | None = None,
    progress: Progress | None = None,
) -> Features:
    """Features of ``images`` and of ``views`` augmented views of each, drawn by ``strength``.

    What was encoded before, by any command, is taken from the ``cache`` folder (None: the
    user's), by what the pixels are; the rest is encoded and kept there as it comes. A view
    depends on the image and the number of the view alone. Raises UserError where features
    cannot be kept, and for features that are NaN.
    """
    folder, keys = _folder(encoder, cache), keys_of(images.images)
    stores = [
        FeatureStore(folder / _view_name(v, strength), encoder.width) for v in range(1 + views)
    ]
    jobs = [_Job(images.images, keys, v, store) for v, store in enumerate(stores)]
    _encode_missing(jobs, encoder, strength, progress)
    base, *shown = [job.read() for job in jobs]
    return Features(base, tuple(shown), images.ids)


def keep_as_decoded(
    encoder: Frozen, *, cache: Path | None = None, progress: Progress | None = None
) -> OnDecoded:
    """What encodes images while the next are decoded, and keeps their features in ``cache``.

    `features_of` finds them there. ``progress`` counts images. Raises as `features_of` does.
    """
    store = FeatureStore(_folder(encoder, cache) / _view_name(0, VIEW), encoder.width)

    def keep(images: NDArray[np.uint8], done: int, total: int) -> None:
        before = done - len(images)
        job = _Job(images, keys_of(images), 0, store)
        _encode_missing([job], encoder, VIEW, lambda n, _: tell(before + n, total))
        tell(done, total)

    tell = progress or (lambda done, total: None)
    return keep


def encode(
    images: Images, encoder: Frozen, progress: Progress | None = None
) -> NDArray[np.float16]:
    """Features [n, d] of uint8 ``images`` [n, h, w, 3], of any size; nothing is kept."""
    out = np.empty((len(images), encoder.width), dtype=np.float16)
    for at, features in encoded_rows(images, np.arange(len(images)), encoder):
        out[at] = features
        if progress:
            progress(int(at[-1]) + 1, len(images))
    return out


@dataclass(frozen=True)
class _Job:
    """One view (0: none) of a set of images, and where its features are kept."""

    images: Images
    keys: list[bytes]
    number: int
    store: FeatureStore

    def missing(self) -> NDArray[np.intp]:
        """Positions of the images to encode, equal ones once."""
        absent = np.flatnonzero(self.store.find(self.keys) < 0)
        first = {self.keys[i]: i for i in reversed(absent.tolist())}
        return np.array(sorted(first.values()), dtype=np.intp)

    def read(self) -> NDArray[np.float16]:
        at = self.store.find(self.keys)
        if (at < 0).any():
            raise UserError(f"{self.store.folder} was changed meanwhile: run the command again")
        return self.store.read(at)


def _encode_missing(
    jobs: Sequence[_Job], encoder: Frozen, strength: Strength, progress: Progress | None
) -> None:
    missing = [job.missing() for job in jobs]
    total = sum(map(len, missing))
    if not total:
        return
    jobs[0].store.check_room(total)
    done = 0
    for job, rows in zip(jobs, missing, strict=True):
        draw = _draw_of(job, strength) if job.number else None
        for at, features in encoded_rows(job.images, rows, encoder, draw):
            job.store.add([job.keys[i] for i in at], features)
            done += len(at)
            if progress:
                progress(done, total)


def encoded_rows(
    images: Images,
    rows: NDArray[np.intp],
    encoder: Frozen,
    draw: Callable[[NDArray[np.intp]], Views] | None = None,
) -> Iterator[tuple[NDArray[np.intp], NDArray[np.float16]]]:
    """Positions [b] and features [b, d], a batch of ``rows`` at a time.

    The next images are read and resized while the ones before them are encoded.
    """

    def read(at: NDArray[np.intp]) -> tuple[NDArray[np.intp], Tensor]:
        pixels = resize_all(np.asarray(images[at]), encoder.size)
        return at, torch.from_numpy(pixels).permute(0, 3, 1, 2)

    size = max(1, min(BATCH, BATCH * 128**2 // encoder.size**2))
    batches = [rows[start : start + size] for start in range(0, len(rows), size)]
    for at, pixels in ahead(read, batches):
        pixels = pixels.to(encoder.device)
        shown = unit_floats(pixels) if draw is None else apply_views(pixels, draw(at))
        yield at, encoder(shown).half().cpu().numpy()


def keys_of(images: Images) -> list[bytes]:
    """Of each image [n] a hash of its size and pixels, by which its features are found."""
    shape = repr(images.shape[1:3]).encode()

    def hashed(start: int) -> list[bytes]:
        chunk = np.ascontiguousarray(images[start : start + HASHED])
        return [
            hashlib.blake2b(image.data, digest_size=KEY_BYTES, person=shape[:16]).digest()
            for image in chunk
        ]

    with ThreadPoolExecutor(os.cpu_count() or 1) as pool:
        parts = pool.map(hashed, range(0, len(images), HASHED))
        return [key for part in parts for key in part]


def _draw_of(job: _Job, strength: Strength) -> Callable[[NDArray[np.intp]], Views]:
    """The views of a job's images by position: random numbers are hashes of image and view."""
    salt = job.number.to_bytes(4, "little")

    def draw(at: NDArray[np.intp]) -> Views:
        digests = [hashlib.blake2b(job.keys[i], digest_size=4 * DRAWS, salt=salt) for i in at]
        raw = np.frombuffer(b"".join(d.digest() for d in digests), "<u4").reshape(-1, DRAWS)
        return views_from(torch.from_numpy((raw >> 8).astype(np.float32) / 2**24), strength)

    return draw


def _folder(encoder: Frozen, cache: Path | None) -> Path:
    name = re.sub(r"[^A-Za-z0-9_.]+", "-", encoder.name)
    return cache_folder(cache) / "features" / f"{name}-{encoder.size}-{encoder.hash}-{FORMAT}"


def _view_name(number: int, strength: Strength) -> str:
    if not number:
        return "as-they-are"
    known = hashlib.blake2b(repr(strength).encode(), digest_size=4).hexdigest()
    return f"view-{number}-{known}"
