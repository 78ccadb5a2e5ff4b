"""What the loop is asked and tells on the way: `Watch`, `Progress`, `Epoch`."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from torch import Tensor

from lll.learn.position import Position
from lll.learn.prepare import Prepared


@dataclass(frozen=True)
class Watch:
    """Progress callbacks; they never change results.

    ``on_plan`` gets the prepared run and its `Run` before the first step; ``on_step`` the epoch,
    the steps that are done in it, and how many it has; ``on_epoch`` the metrics and the seconds
    of an epoch that is over; ``on_encode`` the images that the frozen encoder has done, of how
    many. When ``should_stop``, asked before each step, says True, the run is saved and ends.
    """

    on_plan: Callable[[Prepared, Any], None] = lambda prepared, run: None
    on_step: Callable[[int, int, int], None] = lambda epoch, step, steps: None
    on_epoch: Callable[[dict[str, Any], dict[str, float]], None] = lambda metrics, seconds: None
    should_stop: Callable[[], bool] = lambda: False
    on_encode: Callable[[int, int], None] = lambda done, total: None


@dataclass
class Progress:
    """How far a run is: ``position``, and of the epoch under way the figures and seconds so far.

    ``trace`` holds the figures of each step, on the device until the epoch's end.
    """

    position: Position = field(default_factory=lambda: Position(0))
    trace: dict[str, list[Tensor]] = field(default_factory=dict)
    seconds: float = 0.0


@dataclass(frozen=True)
class Epoch:
    """What an epoch gave: its ``metrics`` and ``seconds``, or what went wrong in it.

    An epoch that was stopped is not ``finished`` and has no metrics.
    """

    number: int
    finished: bool
    trouble: str | None = None
    metrics: dict[str, Any] = field(default_factory=dict)
    seconds: dict[str, float] = field(default_factory=dict)
