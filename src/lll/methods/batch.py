"""What a step is handed: a minibatch that knows its rows, its views and the other ranks."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from itertools import accumulate
from typing import Protocol, runtime_checkable

import torch
from jaxtyping import Float, Int, Shaped
from torch import Tensor

from lll.ranks import ALONE, Ranks


@runtime_checkable
class Views(Protocol):
    """Random views of the rows of a training set; see `lll.views`."""

    def weak(self, inputs: Tensor, rows: Tensor, total: int, mine: Tensor | None) -> Tensor:
        """A weak view of each of ``inputs`` [n, ...], the training set's ``rows`` [n]."""

    def strong(self, inputs: Tensor, rows: Tensor, total: int, mine: Tensor | None) -> Tensor:
        """A strong view of each; ``mine`` [n] are their places among the ``total`` of all ranks."""


@dataclass(frozen=True)
class Pool:
    """Some rows of the training set, and views of them. It brings no label along.

    ``inputs`` are images uint8 [n, 3, h, w] or features [n, d], and ``rows`` [n] their
    positions in the training set. With several ``ranks`` they are this rank's share of
    ``parts``, the sizes over all ranks of the pools that were joined.
    """

    inputs: Shaped[Tensor, "n ..."]
    rows: Int[Tensor, " n"]
    parts: tuple[int, ...]
    views: Views
    ranks: Ranks = ALONE

    def __len__(self) -> int:
        return len(self.rows)

    @property
    def total(self) -> int:
        """The number of rows over all ranks."""
        return sum(self.parts)

    def weak(self, times: int = 1) -> Float[Tensor, "m ..."]:
        """``times`` weak views of every row: all rows once, then all again, and so on."""
        return self._seen(self.views.weak, times)

    def strong(self, times: int = 1) -> Float[Tensor, "m ..."]:
        """``times`` strong views of every row: all rows once, then all again, and so on."""
        return self._seen(self.views.strong, times)

    def gather(self, values: Shaped[Tensor, "n ..."]) -> Shaped[Tensor, "total ..."]:
        """``values``, one for each row here, joined over the ranks, gradients included."""
        counts = tuple(
            sum(_length(self.ranks.share(part, rank)) for part in self.parts)
            for rank in range(self.ranks.size)
        )
        return self.ranks.gather(values, counts)

    def mean(self, values: Float[Tensor, " n"]) -> Float[Tensor, ""]:
        """This rank's contribution to the mean of ``values`` over all ranks' rows."""
        return values.sum() / max(self.total, 1)

    def _seen(self, view: Callable[..., Tensor], times: int) -> Tensor:
        """An image's view does not depend on the number of ranks: all draw all views."""
        inputs = torch.cat([self.inputs] * times) if times > 1 else self.inputs
        rows = self.rows.repeat(times)
        mine = None if self.ranks.alone else self._mine(times)
        return view(inputs, rows, self.total * times, mine)

    def _mine(self, times: int) -> Int[Tensor, " m"]:
        """Where this rank's rows stand among those of all ranks."""
        parts = self.parts * times
        shares = [self.ranks.share(part) for part in parts]
        starts = accumulate(parts, initial=0)
        return torch.cat(
            [
                torch.arange(start + share.start, start + share.stop, device=self.rows.device)
                for start, share in zip(starts, shares, strict=False)
            ]
        )


def _length(share: slice) -> int:
    return int(share.stop - share.start)


@dataclass(frozen=True)
class Batch:
    """One minibatch on the training device: two pools, and the labels of one of them.

    ``targets`` [l] are the class indices of this rank's rows of ``labelled``. Either pool
    may be empty.
    """

    labelled: Pool
    targets: Int[Tensor, " l"]
    unlabelled: Pool

    @property
    def everything(self) -> Pool:
        """The rows of both pools: unlabelled, then labelled."""
        pools = (self.unlabelled, self.labelled)
        return replace(
            self.labelled,
            inputs=torch.cat([pool.inputs for pool in pools]),
            rows=torch.cat([pool.rows for pool in pools]),
            parts=tuple(part for pool in pools for part in pool.parts),
        )

    @property
    def all_targets(self) -> Int[Tensor, " total"]:
        """The class indices of the labelled rows of all ranks."""
        return self.labelled.gather(self.targets)

    def whole(self, value: Float[Tensor, ...]) -> Float[Tensor, ...]:
        """This rank's contribution to a ``value`` that every rank computes from all rows."""
        return value / self.labelled.ranks.size

    def map(self, change: Callable[[Tensor], Tensor]) -> Batch:
        """The same batch with every tensor replaced by ``change`` of it."""
        pools = [
            replace(pool, inputs=change(pool.inputs), rows=change(pool.rows))
            for pool in (self.labelled, self.unlabelled)
        ]
        return Batch(pools[0], change(self.targets), pools[1])

    def tensors(self) -> Sequence[Tensor]:
        """Every tensor of the batch."""
        return [
            self.targets,
            *(t for pool in (self.labelled, self.unlabelled) for t in (pool.inputs, pool.rows)),
        ]
