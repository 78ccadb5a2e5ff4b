"""Where in a run a checkpoint stands, and what that makes its name."""

from __future__ import annotations

import re
from dataclasses import dataclass

_NAME = re.compile(r"epoch-(\d{4,9})(?:-step-(\d{4,9}))?")


@dataclass(frozen=True, order=True)
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

    @staticmethod
    def of(name: str) -> Position | None:
        """The position that a checkpoint called ``name`` has; None if none is called so.

        >>> Position.of("epoch-0003-step-0012"), Position.of("../epoch-0003")
        (Position(epoch=3, step=12), None)
        """
        found = _NAME.fullmatch(name)
        position = Position(*(int(n or 0) for n in found.groups())) if found else None
        return position if str(position) == name else None
