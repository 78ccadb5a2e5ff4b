"""Schedules: classes, label amount and learning rates as functions of the epoch.

Epochs are counted from 0, so the last of E epochs is E - 1. Every rule is a pure function;
to add one, write it and give it a line in `RULES`.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

from lll.types import EpochPlan, Schedule, UserError, lookup


@dataclass(frozen=True)
class Kind:
    """What a schedule is for: its default rule, and whether it climbs or falls."""

    default: str
    rises: bool


CLASSES = Kind(default="epoch", rises=True)
LABELS = Kind(default="fraction", rises=True)
RATE = Kind(default="decay", rises=False)


def _clamp(value: float, low: float, high: float) -> float:
    return min(max(value, low), high)


def _between(kind: Kind, low: float, high: float, done: float) -> float:
    """The value after the share ``done`` in [0, 1] of the way that ``kind`` goes."""
    done = done if kind.rises else 1.0 - done
    return low * (1.0 - done) + high * done  # exact at both ends


def _progress(epoch: int, epochs: int) -> float:
    """0 at the first epoch, 1 at the last; a run of one epoch is at its end."""
    return epoch / (epochs - 1) if epochs > 1 else 1.0


Rule = Callable[[Kind, float, float, int, int], float]

RULES: dict[str, Rule] = {
    # one step an epoch: clamp(e, low, high)
    "epoch": lambda kind, low, high, e, E: _clamp(e, low, high),
    # the share of the run that is over: clamp(e / E, low, high)
    "fraction": lambda kind, low, high, e, E: _clamp(e / E, low, high),
    # a slow exponential fall: clamp(high * 0.1^(e / 500), low, high)
    "decay": lambda kind, low, high, e, E: _clamp(high * 0.1 ** (e / 500), low, high),
    # spread evenly over the run
    "linear": lambda kind, low, high, e, E: _between(kind, low, high, _progress(e, E)),
    # half a cosine over the run: slow at both ends
    "cosine": lambda kind, low, high, e, E: _between(
        kind, low, high, 0.5 - 0.5 * math.cos(math.pi * _progress(e, E))
    ),
    # the first value for the first half of the run, the last value from then on
    "step": lambda kind, low, high, e, E: _between(kind, low, high, float(2 * e >= E or E == 1)),
}


def value_at(schedule: Schedule, kind: Kind, epoch: int, epochs: int) -> float:
    """The schedule's value at ``epoch`` of ``epochs``; ``schedule.high`` must be known.

    >>> rate = Schedule(0.01, 0.9)
    >>> [round(value_at(rate, LABELS, e, 20), 2) for e in (0, 1, 10, 19)]
    [0.01, 0.05, 0.5, 0.9]
    """
    if schedule.points:
        passed = [value for start, value in schedule.points if start <= epoch]
        return passed[-1] if passed else schedule.points[0][1]
    if schedule.high is None:
        raise ValueError(f"schedule {schedule} still says 'all': resolve it first")
    rule = lookup(RULES, _rule_name(schedule, kind), "schedule rule")
    return rule(kind, schedule.low, schedule.high, epoch, epochs)


def _rule_name(schedule: Schedule, kind: Kind) -> str:
    if schedule.rule != "default":
        return schedule.rule
    # A count per class has no share of the run to follow, so it spreads over the run.
    return "linear" if schedule.per_class and kind is LABELS else kind.default


def plan_run(
    *,
    epochs: int,
    class_count: int,
    classes: Schedule,
    labels: Schedule,
    contrastive_rate: Schedule,
    probe_rate: Schedule,
) -> list[EpochPlan]:
    """What every epoch of a run will see: the four schedules, checked against the data.

    Raises UserError if more classes are asked for than the data's ``class_count``, for an
    unknown rule, and for one that would let what is known or represented fall.
    """
    for name, schedule in (("classes", classes), ("labels", labels)):
        if schedule.rule == "decay":
            raise UserError(f"{name} {schedule}: rule 'decay' falls, and {name} never do")
    classes = classes_of_data(classes, class_count)
    return [
        EpochPlan(
            epoch=epoch,
            classes=int(value_at(classes, CLASSES, epoch, epochs) + 1e-9),
            labels=value_at(labels, LABELS, epoch, epochs),
            per_class=labels.per_class,
            contrastive_rate=value_at(contrastive_rate, RATE, epoch, epochs),
            probe_rate=value_at(probe_rate, RATE, epoch, epochs),
        )
        for epoch in range(epochs)
    ]


def classes_of_data(schedule: Schedule, class_count: int) -> Schedule:
    """``schedule`` with 'all' replaced by ``class_count``; UserError if it asks for more."""
    if schedule.high is None:
        return Schedule(min(schedule.low, class_count), class_count, schedule.rule)
    most = max([schedule.high, *(value for _, value in schedule.points)])
    if most > class_count:
        raise UserError(
            f"classes {schedule}: the data has {class_count} classes; "
            f"give {class_count} at most, or write 'all'"
        )
    return schedule
