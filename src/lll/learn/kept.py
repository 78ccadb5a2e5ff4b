"""What runs of one process on the same data have in common: found once, not by each run."""

from __future__ import annotations

import hashlib
from collections import OrderedDict
from collections.abc import Callable
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

T = TypeVar("T")
MOST = 16  # of one pool: data, an encoder, features of four parts, orders, what fits share


class Kept:
    """Answers by what was asked, the last `MOST`."""

    def __init__(self) -> None:
        self._answers: OrderedDict[tuple[Any, ...], Any] = OrderedDict()

    def get(self, key: tuple[Any, ...], make: Callable[[], T]) -> T:
        """What ``make`` gave when it was first called for ``key``."""
        if key not in self._answers:
            self._answers[key] = make()
        self._answers.move_to_end(key)
        while len(self._answers) > MOST:
            self._answers.popitem(last=False)
        answer: T = self._answers[key]
        return answer


def hash_of(ids: NDArray[np.str_]) -> bytes:
    """Stands for ``ids`` [n] in their order."""
    return hashlib.blake2b("\0".join(ids.tolist()).encode(errors="surrogateescape")).digest()
