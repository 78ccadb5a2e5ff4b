"""Schedules: classes, label amount and learning rates as functions of the epoch.

Epochs are counted from 0, so the last of E epochs is E - 1. Every rule is a pure function;
to add one, write it and give it a line in `RULES`.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from lll.errors import UserError, lookup


@dataclass(frozen=True)
class Schedule:
    """How one number moves over a run; ``lll.labels.schedule`` computes it.

    A range ``(low, high)`` with the name of a rule, or explicit ``points`` of
    (epoch, value) that hold until the next point. ``high`` None means all classes of
    the data set. ``per_class`` marks a label amount counted per class instead of a share.
    """

    low: float
    high: float | None
    rule: str = "default"
    per_class: bool = False
    points: tuple[tuple[int, float], ...] = field(default=())

    def __str__(self) -> str:
        if self.points:
            body = ",".join(f"{epoch}={_number(value)}" for epoch, value in self.points)
            return body + ("/class" if self.per_class else "")
        low = "all" if self.low == math.inf else _number(self.low)
        high = "all" if self.high is None else _number(self.high)
        body = low if low == high else f"{low}:{high}"
        body += "/class" if self.per_class else ""
        return body if self.rule == "default" else f"{body}:{self.rule}"


def _number(value: float) -> str:
    """The shortest text that reads back as ``value``: 8, 0.5, 1e-05."""
    return str(int(value)) if value == int(value) and abs(value) < 1e15 else repr(float(value))


@dataclass(frozen=True)
class EpochPlan:
    """What the schedules say about one epoch.

    ``labels`` is a share in [0, 1] of each represented class, or a count per class if
    ``per_class``. Learning rates are those the optimizers use.
    """

    epoch: int
    classes: int
    labels: float
    per_class: bool
    contrastive_rate: float
    probe_rate: float


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
            raise UserError(
                f"{name} {schedule}: rule 'decay' makes the values fall, and {name} must not fall"
            )
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


def parse_schedule(text: str | float | Sequence[Sequence[float]] | Schedule) -> Schedule:
    """A schedule from how it is written in a flag or in TOML.

    ``0.5`` is constant, ``8:10`` a range, ``8:all`` a range up to all classes, ``4/class``
    and ``4:400/class`` label amounts per class, ``0.01:0.9:linear`` names a rule, and
    ``0=5,10=8`` (in TOML also ``[[0, 5], [10, 8]]``) lists (epoch, value).

    >>> str(parse_schedule("0.01:0.9:linear"))
    '0.01:0.9:linear'
    >>> parse_schedule("4/class")
    Schedule(low=4.0, high=4.0, rule='default', per_class=True, points=())
    """
    if isinstance(text, Schedule):
        return text
    if isinstance(text, int | float) and not isinstance(text, bool):
        return Schedule(float(text), float(text))
    if isinstance(text, list | tuple):
        if not all(isinstance(point, list | tuple) and len(point) == 2 for point in text):
            raise ValueError(f"{text!r} is not a list of [epoch, value], as in [[0, 5], [10, 8]]")
        text = ",".join("=".join(map(str, point)) for point in text)
    text = str(text).strip().replace(" ", "")
    if "=" in text:
        return _parse_points(text)
    *numbers, last = text.split(":")
    rule = "default"
    if numbers and not _is_number(last.removesuffix("/class")) and last != "all":
        rule, text = last, ":".join(numbers)
        if not rule:
            raise _no_schedule(text + ":")
    per_class = text.endswith("/class")
    ends = text.removesuffix("/class").split(":")
    if len(ends) > 2 or not all(_is_number(end) or end == "all" for end in ends):
        raise _no_schedule(text)
    low, high = ends[0], ends[-1]
    return Schedule(
        low=math.inf if low == "all" else float(low),
        high=None if high == "all" else float(high),
        rule=rule,
        per_class=per_class,
    )


def _no_schedule(text: str) -> ValueError:
    return ValueError(f"{text!r} is not a schedule: write 0.5, 8:10, 8:all, 4/class or 0=5,10=8")


def _parse_points(text: str) -> Schedule:
    per_class = text.endswith("/class")
    try:
        pairs = [point.split("=") for point in text.removesuffix("/class").split(",")]
        points = tuple(sorted((int(epoch), float(value)) for epoch, value in pairs))
    except ValueError:
        raise ValueError(f"{text!r} is not a list of epoch=value, as in 0=5,10=8") from None
    epochs, values = [epoch for epoch, _ in points], [value for _, value in points]
    if epochs[0] < 0 or len(set(epochs)) < len(epochs):
        raise ValueError(f"{text!r}: list each epoch once, from 0 up")
    return Schedule(min(values), max(values), per_class=per_class, points=points)


def _is_number(text: str) -> bool:
    try:
        return math.isfinite(float(text))
    except ValueError:
        return False


def _check_range(schedule: Schedule, least: float, most: float, rises: bool) -> Schedule:
    """``schedule`` if it lies in [least, most] and does not run backwards."""
    high = schedule.low if schedule.high is None else schedule.high
    if schedule.high is not None and schedule.low > schedule.high:
        raise ValueError(f"{schedule} is reversed: write the lower end first")
    values = [value for _, value in schedule.points] or [schedule.low, high]
    if schedule.high is None:
        values = [v for v in values if v != math.inf]  # 'all', to be known with the data
    wrong = [v for v in values if not (math.isfinite(v) and least <= v <= most)]
    if wrong:
        bounds = f"from {least:g} up" if math.isinf(most) else f"between {least:g} and {most:g}"
        raise ValueError(f"{wrong[0]:g} is out of bounds: give numbers {bounds}")
    if rises and values != sorted(values):
        raise ValueError(f"{schedule} falls: what is known or represented stays so")
    return schedule


def class_schedule(text: Any) -> Schedule:
    """A schedule of whole numbers of classes, rising; ValueError says what is wrong."""
    schedule = _check_range(parse_schedule(text), 1, math.inf, rises=True)
    values = [value for _, value in schedule.points] or [schedule.low, schedule.high or 1.0]
    if schedule.per_class or any(v % 1 for v in values if math.isfinite(v)):
        raise ValueError(f"{schedule}: give whole numbers of classes")
    return schedule


def label_schedule(text: Any) -> Schedule:
    """A schedule of label amounts, rising: shares in [0, 1], or counts per class."""
    schedule = parse_schedule(text)
    if schedule.high is None:
        raise ValueError("'all' counts classes: write 1 to know every label")
    return _check_range(schedule, 0, math.inf if schedule.per_class else 1, rises=True)


def rate_schedule(text: Any) -> Schedule:
    """A schedule of learning rates, 0 or more."""
    schedule = parse_schedule(text)
    if schedule.high is None or schedule.per_class:
        raise ValueError(f"{schedule} is not a learning rate: write 0.001 or 0.01:0.03")
    return _check_range(schedule, 0, math.inf, rises=False)
