"""The device that trains, and the precision that it computes in."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from lll.errors import UserError
from lll.nets.frozen import has_bfloat16
from lll.ranks import ALONE, Ranks


def pick_device(name: str, ranks: Ranks = ALONE) -> torch.device:
    """The device called ``name``; ``auto`` is a GPU if there is one, else the CPU.

    Of several GPUs each of several ``ranks`` on a machine takes its own.
    """
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "cpu"
    if name == "cuda" and not ranks.alone:
        name = f"cuda:{ranks.local_rank}"
    try:
        device = torch.device(name)
        torch.empty(1, device=device)
    except (RuntimeError, AssertionError) as error:
        reason = str(error).splitlines()[0]
        raise UserError(f"device {name!r} cannot be used ({reason}): try --device cpu") from None
    if device.type == "cuda":
        torch.cuda.set_device(device)
    return device


def backend_of(device: str) -> str:
    """What several ranks on ``device`` (a name, as in `pick_device`) talk through."""
    on_gpus = device.startswith("cuda") or (device == "auto" and torch.cuda.is_available())
    return "nccl" if on_gpus else "gloo"


def computes_in_bfloat16(precision: str, device: torch.device) -> bool:
    """Whether networks compute in bfloat16: ``auto`` is yes where the hardware is made for it.

    Those are GPUs that torch says so of, and CPUs with AMX tiles or AVX-512 BF16.
    """
    if precision != "auto":
        return precision == "bfloat16"
    return device.type in ("cpu", "cuda") and has_bfloat16(device)


def threads_that_fit(threads: int, load: float, cores: int) -> int | None:
    """How many of ``threads`` find a core of their own beside ``load`` others; None if all do.

    OpenMP's threads wait for one another in every operation, so that one that finds no core holds
    all of them up: on two cores with one other process an epoch took ten times as long with two
    threads as with one. ``load`` is the machine's, as in `os.getloadavg`.
    """
    free = max(1, cores - round(load))
    return free if free < threads else None


class InBfloat16:
    """A part that is computed in bfloat16 where that is safe, and gives float32.

    Its attributes are those of the part itself.
    """

    def __init__(self, part: nn.Module, device: str) -> None:
        self._part, self._device = part, device

    def __call__(self, rows: Tensor) -> Tensor:
        """What the part gives for ``rows``, in float32."""
        with torch.autocast(self._device, dtype=torch.bfloat16):
            out: Tensor = self._part(rows)
        return out.float()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._part, name)
