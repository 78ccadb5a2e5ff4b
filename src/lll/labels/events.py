"""A label is an event: who said what about which image, and when."""

from __future__ import annotations

from dataclasses import dataclass

UNLABELLED = -1


@dataclass(frozen=True)
class LabelEvent:
    """One label becoming known: which image, which class, when, and who said so.

    ``origin`` is one of ``schedule``, ``person``, ``suggestion`` (accepted by a person)
    or ``pseudo`` (a pseudo-label).
    """

    id: str
    label: int
    epoch: int
    origin: str
