"""Work that is done while what came before it is in use."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

READ_AHEAD = 2  # items

T = TypeVar("T")
U = TypeVar("U")


def ahead(read: Callable[[T], U], items: Iterable[T]) -> Iterator[U]:
    """``read`` of each item, in order, the next ones in a thread while one is in use."""
    with ThreadPoolExecutor(1) as pool:
        waiting: deque[Future[U]] = deque()
        try:
            for item in items:
                waiting.append(pool.submit(read, item))
                if len(waiting) > READ_AHEAD:
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()
        finally:
            for left in waiting:
                left.cancel()
