"""Several processes that train one network: who takes which rows, and what they tell each other.

Each works on its own rows of every minibatch. What they compute are contributions: losses,
figures and gradients that, summed over the processes, are those of the whole minibatch. So
one process alone is the plain case, and no gradient is off by the number of processes.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, TypeVar

import torch
import torch.distributed as dist
from torch import Tensor

from lll.errors import UserError

if dist.is_available():
    # Imported later, as torch.optim does, it takes the group for a default argument. The group is
    # then never closed, and its threads, which run until the end, may abort the process there.
    import torch.distributed.nn.functional

T = TypeVar("T")


class LostProcessError(UserError):
    """Another process of the run has ended, or cannot be reached."""


@dataclass(frozen=True)
class Ranks:
    """This process among the ``size`` that train together; by default it is alone.

    ``rank`` counts from 0 over all machines, ``local_rank`` over those of this machine.
    ``host`` is the group in which values on the host are exchanged. Every method is called by
    all processes, in the same order; LostProcessError if one of them is gone.
    """

    rank: int = 0
    size: int = 1
    local_rank: int = 0
    host: Any = None

    @property
    def alone(self) -> bool:
        """Whether there is no other."""
        return self.size == 1

    def share(self, count: int, rank: int | None = None) -> slice:
        """Which of ``count`` rows are those of ``rank`` (this one): shares differ by one at most.

        >>> [Ranks(rank, 3).share(7) for rank in range(3)]
        [slice(0, 2, None), slice(2, 4, None), slice(4, 7, None)]
        """
        rank = self.rank if rank is None else rank
        return slice(rank * count // self.size, (rank + 1) * count // self.size)

    def gather(self, rows: Tensor, counts: tuple[int, ...]) -> Tensor:
        """The ``rows`` [counts[rank], ...] of every process in order of rank [sum, ...].

        A gradient that reaches the whole comes back to each process's rows as the sum over
        the processes, as the function that all of them compute demands.
        """
        if self.alone:
            return rows
        gathered: Tensor = _Gather.apply(rows, counts, self.rank)  # type: ignore[no-untyped-call]
        return gathered

    def add(self, tensor: Tensor) -> Tensor:
        """The sum of ``tensor`` over the processes, without a gradient, in its place."""
        if not self.alone:
            with _lost():
                dist.all_reduce(tensor)
        return tensor

    def any(self, flag: bool) -> bool:
        """Whether ``flag`` is true in any process. Waits for the others, not for the device."""
        if self.alone:
            return flag
        votes = torch.tensor([float(flag)])
        with _lost():
            dist.all_reduce(votes, group=self.host)
        return bool(votes.item())

    def from_first(self, value: T) -> T:
        """What the first process gives as ``value``."""
        if self.alone:
            return value
        box = [value]
        with _lost():
            dist.broadcast_object_list(box, src=0, group=self.host)
        return box[0]

    def wait(self) -> None:
        """Until all are here."""
        self.any(False)


ALONE = Ranks()


@contextmanager
def joined(environment: Mapping[str, str], backend: str) -> Iterator[Ranks]:
    """The processes that torchrun started, as its variables in ``environment`` say; else alone.

    ``backend`` is ``gloo`` for CPUs, ``nccl`` for GPUs. Raises UserError if they do not find
    one another.
    """
    size = int(environment.get("WORLD_SIZE", "1"))
    if size == 1:
        yield ALONE
        return
    try:
        dist.init_process_group(backend)
        host = None if backend == "gloo" else dist.new_group(backend="gloo")
    except (RuntimeError, ValueError) as error:
        reason = str(error).splitlines()[0]
        raise UserError(
            f"the {size} processes do not find one another ({reason}): start them with torchrun"
        ) from None
    try:
        yield Ranks(dist.get_rank(), size, int(environment.get("LOCAL_RANK", "0")), host)
    finally:
        dist.destroy_process_group()


def rank_of(environment: Mapping[str, str] | None = None) -> int:
    """The rank that torchrun gave this process; 0 without torchrun."""
    return int((os.environ if environment is None else environment).get("RANK", "0"))


@contextmanager
def _lost() -> Iterator[None]:
    try:
        yield
    except RuntimeError as error:
        # Gloo begins with the place in its source.
        reason = re.sub(r"^\[[^]]*\] ", "", str(error).splitlines()[0])[:120]
        raise LostProcessError(f"another process of this run is gone ({reason})") from error


class _Gather(torch.autograd.Function):
    """Concatenation over processes; its gradient is summed over them."""

    @staticmethod
    def forward(ctx: Any, rows: Tensor, counts: tuple[int, ...], rank: int) -> Tensor:
        ctx.counts, ctx.rank = counts, rank
        # Of one size, because not every backend gathers tensors of several.
        padded = rows.new_zeros(max(counts), *rows.shape[1:])
        padded[: len(rows)] = rows
        parts = [torch.empty_like(padded) for _ in counts]
        with _lost():
            dist.all_gather(parts, padded)
        return torch.cat([part[:count] for part, count in zip(parts, counts, strict=True)])

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None, None]:
        gradient = gradients[0].clone()  # not ours to add to
        with _lost():
            dist.all_reduce(gradient)
        return torch.split(gradient, ctx.counts)[ctx.rank], None, None
