"""TensorBoard event files beside a run's own record. TensorBoard is an extra."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from lll.errors import UserError

if TYPE_CHECKING:
    from lll.learn.loop import Watch
    from lll.learn.prepare import Prepared
    from lll.runs import Run


def with_tensorboard(watch: Watch) -> Watch:
    """``watch``, and event files in the run's folder ``tensorboard``, a scalar per figure.

    A resumed run goes on in the same folder, from its first epoch that is not recorded.
    Raises UserError if TensorBoard is not installed.
    """
    try:
        from torch.utils.tensorboard import SummaryWriter
    except ImportError:
        raise UserError(
            "--tensorboard needs TensorBoard: pip install 'little-label-learners[tensorboard]'"
        ) from None
    writers: list[SummaryWriter] = []

    def on_plan(prepared: Prepared, run: Run) -> None:
        folder = str(run.path / "tensorboard")
        writers.append(SummaryWriter(folder, purge_step=len(run.metrics)))
        watch.on_plan(prepared, run)

    def on_epoch(metrics: dict[str, Any], seconds: dict[str, float]) -> None:
        for name, value in (metrics | seconds).items():
            if isinstance(value, int | float) and name != "epoch":
                writers[-1].add_scalar(name, value, metrics["epoch"])
        writers[-1].flush()
        watch.on_epoch(metrics, seconds)

    return replace(watch, on_plan=on_plan, on_epoch=on_epoch)
