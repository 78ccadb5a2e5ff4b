"""Ranks, several processes that train one network: who takes which rows, and how they talk.

Each works on its own rows of every minibatch. What they compute are contributions: losses,
figures and gradients that, summed over the ranks, are those of the whole minibatch. So one
rank alone is the plain case, and no gradient is off by the number of ranks.
"""

from __future__ import annotations

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

    ``rank`` counts from 0 over all machines, ``local_rank`` over the GPUs of this machine.
    Values on the host are exchanged in the group ``host``, tensors on the device in
    ``group`` (None is the default one). Every method is called by all ranks, in the same
    order; LostProcessError if one of them is gone.
    """

    rank: int = 0
    size: int = 1
    local_rank: int = 0
    host: Any = None
    group: Any = None

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
        """The ``rows`` [counts[rank], ...] of every rank in their order [sum, ...].

        A gradient that reaches the whole comes back to each rank's rows as the sum over the
        ranks, as the function that all of them compute demands.
        """
        if self.alone:
            return rows
        gathered: Tensor = _Gather.apply(rows, counts, self.rank, self.group)  # type: ignore[no-untyped-call]
        return gathered

    def add(self, tensor: Tensor) -> Tensor:
        """The sum of ``tensor`` over the ranks, without a gradient, in its place."""
        if not self.alone:
            with _lost():
                dist.all_reduce(tensor, group=self.group)
        return tensor

    def any(self, flag: bool) -> bool:
        """Whether ``flag`` is true in any rank. Waits for the others, not for the device."""
        if self.alone:
            return flag
        votes = torch.tensor([float(flag)])
        with _lost():
            dist.all_reduce(votes, group=self.host)
        return bool(votes.item())

    def from_first(self, value: T) -> T:
        """What the first rank gives as ``value``."""
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


@dataclass(frozen=True)
class Start:
    """How this process was started: the ``rank`` it has among ``size``, and where they meet."""

    rank: int = 0
    size: int = 1
    meet: str = "env://"


def start_of(environment: Mapping[str, str]) -> Start:
    """What torchrun says in the variables of ``environment``, else srun; by default one alone.

    Of SLURM only what srun itself gives to its tasks counts: in a batch script, which is one
    process, SLURM_NTASKS is the number of the tasks that are to come. Raises UserError for a
    variable that is missing or not a number.

    >>> start_of({"WORLD_SIZE": "2", "RANK": "1"})
    Start(rank=1, size=2, meet='env://')
    """
    if "WORLD_SIZE" in environment:
        rank, size, meet = "RANK", "WORLD_SIZE", "env://"
    elif "SLURM_STEP_NUM_TASKS" in environment:
        rank, size, meet = "SLURM_PROCID", "SLURM_STEP_NUM_TASKS", ""
    else:
        return Start()
    if _number(environment, size) == 1:
        return Start()
    return Start(
        _number(environment, rank),
        _number(environment, size),
        meet or _slurm_meeting(environment),
    )


def _slurm_meeting(environment: Mapping[str, str]) -> str:
    """The host of the first task, and a port that no other job or step of that host takes.

    MASTER_ADDR and MASTER_PORT go before. The host that srun was called on comes last: it may
    be a login node.
    """
    hosts = environment.get("SLURM_STEP_NODELIST") or environment.get("SLURM_JOB_NODELIST", "")
    host = (
        environment.get("MASTER_ADDR")
        or first_host(hosts)
        or environment.get("SLURM_LAUNCH_NODE_IPADDR", "localhost")
    )
    job, step = (_number(environment, name) for name in ("SLURM_JOB_ID", "SLURM_STEP_ID"))
    # Below the ports that systems give to outgoing connections, from 32768 on.
    return f"tcp://{host}:{environment.get('MASTER_PORT', 15_000 + (10 * job + step) % 15_000)}"


def first_host(hosts: str) -> str:
    """The first host in a list of SLURM's.

    >>> first_host("node[007-010,012],gpu3"), first_host("a1,a2"), first_host("r[2,4]n[1-3]")
    ('node007', 'a1', 'r2n1')
    """
    return re.sub(r"\[(\w+)[^]]*\]", r"\1", hosts).split(",")[0]


def local_rank_of(environment: Mapping[str, str]) -> int:
    """Which GPU of its machine is this process's, as torchrun or srun says; else the first.

    It is the first too for a process that the scheduler shows one GPU only.
    """
    shown = environment.get("CUDA_VISIBLE_DEVICES", "")
    if shown and "," not in shown:
        return 0
    name = "LOCAL_RANK" if "LOCAL_RANK" in environment else "SLURM_LOCALID"
    return _number(environment, name) if name in environment else 0


def _number(environment: Mapping[str, str], name: str) -> int:
    value = environment.get(name, "")
    if not value.isdecimal():
        raise UserError(
            f"environment variable {name} is {value!r}, not a number: start all processes "
            "with torchrun or srun"
        )
    return int(value)


@contextmanager
def joined(
    environment: Mapping[str, str], backend: str, given: Ranks | None = None
) -> Iterator[Ranks]:
    """The ranks that train together: those that are ``given``, else those there are.

    They are the process group that this process is in already, which is left as it was, else
    those that torchrun or srun started, as ``environment`` says; else it is alone.
    ``backend`` is ``gloo`` for CPUs, ``nccl`` for GPUs. Raises UserError if they do not find
    one another.
    """
    if given is not None:
        yield given
        return
    ours = not (dist.is_available() and dist.is_initialized())
    start = start_of(environment) if ours else Start(dist.get_rank(), dist.get_world_size())
    if start.size == 1:
        yield ALONE
        return
    with _finding_one_another(start.size):
        if ours:
            dist.init_process_group(
                backend, init_method=start.meet, rank=start.rank, world_size=start.size
            )
        # A group on GPUs only has no way for values on the host.
        host = None if "cpu:" in dist.get_backend_config() else dist.new_group(backend="gloo")
    try:
        group = host if backend == "gloo" else None
        yield Ranks(start.rank, start.size, local_rank_of(environment), host, group)
    finally:
        if ours:
            dist.destroy_process_group()
        elif host is not None:
            dist.destroy_process_group(host)


@contextmanager
def _finding_one_another(size: int) -> Iterator[None]:
    try:
        yield
    except (RuntimeError, ValueError) as error:
        reason = str(error).splitlines()[0]
        raise UserError(
            f"the {size} processes cannot reach one another ({reason}): start them with torchrun "
            "or srun"
        ) from None


@contextmanager
def _lost() -> Iterator[None]:
    try:
        yield
    except RuntimeError as error:
        # Gloo begins with the place in its source.
        reason = re.sub(r"^\[[^]]*\] ", "", str(error).splitlines()[0])[:120]
        raise LostProcessError(f"another process of this run is gone ({reason})") from error


class _Gather(torch.autograd.Function):
    """Concatenation over ranks; its gradient is summed over them."""

    @staticmethod
    def forward(ctx: Any, rows: Tensor, counts: tuple[int, ...], rank: int, group: Any) -> Tensor:
        ctx.counts, ctx.rank, ctx.group = counts, rank, group
        # Of one size, because not every backend gathers tensors of several.
        padded = rows.new_zeros(max(counts), *rows.shape[1:])
        padded[: len(rows)] = rows
        parts = [torch.empty_like(padded) for _ in counts]
        with _lost():
            dist.all_gather(parts, padded, group=group)
        return torch.cat([part[:count] for part, count in zip(parts, counts, strict=True)])

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None, None, None]:
        gradient = gradients[0].clone()  # not ours to add to
        with _lost():
            dist.all_reduce(gradient, group=ctx.group)
        return torch.split(gradient, ctx.counts)[ctx.rank], None, None, None
