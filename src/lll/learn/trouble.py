"""What can go wrong in an epoch, in words that say what to do."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager

import torch
from torch import Tensor, nn

from lll.errors import UserError, out_of_memory


def trouble(learner: nn.Module, trace: Mapping[str, Sequence[Tensor]], epoch: int) -> str | None:
    """Which loss or weight is NaN or infinite, in words that name the step; None if all is well."""
    for name, values in trace.items():
        bad = (~torch.stack(list(values)).isfinite()).nonzero()
        if len(bad):
            step = name.removesuffix("_loss")
            return (
                f"the loss of step {step!r} became {float(values[int(bad[0])]):g} at its "
                f"update {int(bad[0]) + 1} of epoch {epoch}"
            )
    for name, parameter in learner.named_parameters():
        if not parameter.isfinite().all():
            return f"weights {name} became NaN in epoch {epoch}"
    return None


@contextmanager
def says_what_fits(batch_size: int, device: torch.device) -> Iterator[None]:
    """UserError that says what to lower, where the device's memory does not hold a step."""
    try:
        yield
    except Exception as error:
        if not out_of_memory(error):
            raise
        raise UserError(
            f"batch_size {batch_size} is too large for the memory of {device}: "
            f"try --batch-size {max(batch_size // 2, 1)}, or a smaller --width"
        ) from None
