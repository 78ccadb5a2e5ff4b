"""Where in a run a checkpoint stands, and what that makes its name."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Position:
    """Whole epochs done, and steps of the next one.

    >>> str(Position(3)), str(Position(3, step=12))
    ('epoch-0003', 'epoch-0003-step-0012')
    """

    epoch: int
    step: int = 0

    def __str__(self) -> str:
        name = f"epoch-{self.epoch:04d}"
        return f"{name}-step-{self.step:04d}" if self.step else name
