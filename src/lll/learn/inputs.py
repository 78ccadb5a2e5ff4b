"""What a run learns on: images, or features of a frozen encoder, which runs of a process share."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from lll.config import RunConfig
from lll.data.imageset import ImageSet
from lll.learn.features import Features, Progress, features_of
from lll.learn.feeding import Inputs, fits_on, place
from lll.learn.kept import Kept, hash_of
from lll.nets.frozen import Frozen
from lll.ranks import Ranks
from lll.seeding import keyed_order

VIEWED = 10_000


def viewed_rows(config: RunConfig, ids: NDArray[np.str_], kept: Kept) -> NDArray[np.intp]:
    """The rows whose augmented views are needed: of a method that fits, `VIEWED` at most.

    It learns from views what differs between them, for which so many are enough. Which they
    are hardly changes when other images join, so that few are encoded anew.
    """
    if config.how.fit is None or len(ids) <= VIEWED:
        return np.arange(len(ids))
    order = kept.get(("viewed", hash_of(ids)), lambda: keyed_order(ids.tolist(), 0, "viewed"))
    return np.sort(order[:VIEWED])


def kept_features(
    kept: Kept,
    front: Frozen | None,
    data: str | None,
    device: torch.device,
    cache: Path | None,
    progress: Progress | None,
    part: ImageSet,
    views: int,
) -> tuple[torch.Tensor, torch.Tensor]:
    """Features [n, d] and views [v, n, d] of a ``part`` of the ``data`` of that fingerprint."""
    assert front is not None  # `Prepared` has features where it has one
    key = ("features", front.hash, front.size, data, hash_of(part.ids), views, str(device))
    make = partial(features_of, part, front, views=views, cache=cache, progress=progress)
    return kept.get(key, lambda: _on(make(), device))


def inputs_of(
    parts: list[ImageSet],
    viewed: NDArray[np.intp],
    device: torch.device,
    config: RunConfig,
    ranks: Ranks,
    find: Callable[[ImageSet, int], tuple[torch.Tensor, torch.Tensor]],
) -> tuple[list[Inputs], torch.Tensor | None]:
    """The inputs of every part, and cached views [v, m, d] of rows ``viewed`` of the first.

    They are features where the encoder is frozen, on ``device``; else images, there if they fit.
    """
    if not config.freeze:
        fits = fits_on(device, sum(part.images.nbytes for part in parts))
        return [place(part.images, device, fits=fits) for part in parts], None
    views = config.feature_views
    whole = len(viewed) == len(parts[0])
    if ranks.rank:
        ranks.wait()  # the first encodes and keeps, the others find
    found = [find(part, views if whole and not at else 0) for at, part in enumerate(parts)]
    shown = found[0] if whole else find(parts[0].take(viewed), views)
    if not ranks.rank:
        ranks.wait()
    return [features for features, _ in found], shown[1]


def _on(features: Features, device: torch.device) -> tuple[torch.Tensor, torch.Tensor]:
    """Features [n, d] and those of their views [v, n, d], on ``device``."""
    views = np.empty((len(features.views), *features.base.shape), np.float16)
    for at, view in enumerate(features.views):
        views[at] = view
    base = np.array(features.base)  # which may be a map of a file
    return torch.from_numpy(base).to(device), torch.from_numpy(views).to(device)
