"""Named random generators from one seed. Nothing here touches a global generator."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable

import numpy as np
import torch
from numpy.typing import NDArray


def derive(seed: int, *names: str | int) -> int:
    """A 63-bit seed that depends on ``seed`` and every name, and on nothing else.

    Names are told apart as text joined by ``/``, so they must not hold one.

    >>> derive(0, "views", 3) == derive(0, "views", 3)
    True
    >>> derive(0, "views", 3) == derive(0, "views", 4)
    False
    """
    text = "/".join([str(seed), *map(str, names)])
    digest = hashlib.blake2b(text.encode(), digest_size=8).digest()
    return int.from_bytes(digest, "little") >> 1


def numpy_generator(seed: int, *names: str | int) -> np.random.Generator:
    """A NumPy generator for the stream that ``names`` name."""
    return np.random.default_rng(derive(seed, *names))


def torch_generator(device: torch.device | str, seed: int, *names: str | int) -> torch.Generator:
    """A torch generator on ``device`` for the stream that ``names`` name."""
    return torch.Generator(device=device).manual_seed(derive(seed, *names))


def keyed_order(ids: Iterable[str], seed: int, *names: str | int) -> NDArray[np.intp]:
    """A seeded order of ``ids`` [n] that depends only on the ids themselves.

    Each id is hashed with the seed and the order is that of the hashes, so the relative
    order of two ids stays the same when other images join or leave, or are listed in
    another order.
    """
    key = derive(seed, *names).to_bytes(8, "little")
    hashes = np.fromiter(
        (
            int.from_bytes(
                hashlib.blake2b(str(i).encode(), digest_size=8, key=key).digest(), "little"
            )
            for i in ids
        ),
        dtype=np.uint64,
    )
    return np.argsort(hashes, kind="stable")
