import math
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lll.config import RunConfig
from lll.errors import UserError
from lll.labels.schedule import (
    CLASSES,
    LABELS,
    RATE,
    RULES,
    Schedule,
    classes_of_data,
    plan_run,
    value_at,
)

light = settings(deadline=None, max_examples=80)

ALL = Schedule(math.inf, None)
CONSTANT = Schedule(0.5, 0.5)

# Rules that climb when the number climbs. `decay` goes down by its very formula.
CLIMBING = ["default", *sorted({*RULES} - {"decay"})]
FALLING = ["default", "decay", "linear", "cosine", "step"]


def plan(epochs=20, class_count=10, **changed):
    schedules = {
        "classes": ALL,
        "labels": CONSTANT,
        "contrastive_rate": Schedule(0.001, 0.001),
        "probe_rate": Schedule(0.01, 0.01),
    }
    return plan_run(epochs=epochs, class_count=class_count, **schedules | changed)


def clamp(value, low, high):
    if value < low:
        return low
    return high if value > high else value


def ordered(values):
    """Two numbers drawn from ``values``, as (low, high)."""
    return st.tuples(values, values).map(sorted)


# Each rule at epochs worked out by hand.


@pytest.mark.parametrize(
    ("epoch", "value"), [(0, 5), (4, 5), (5, 5), (6, 6), (9, 9), (10, 10), (11, 10), (19, 10)]
)
def test_epoch_rule(epoch, value):
    assert value_at(Schedule(5, 10, "epoch"), CLASSES, epoch, 20) == value


@pytest.mark.parametrize(
    ("epoch", "value"), [(0, 0.01), (1, 0.05), (2, 0.1), (10, 0.5), (18, 0.9), (19, 0.9)]
)
def test_fraction_rule(epoch, value):
    assert value_at(Schedule(0.01, 0.9, "fraction"), LABELS, epoch, 20) == pytest.approx(value)


@pytest.mark.parametrize(
    ("epoch", "value"),
    [
        (0, 1.0),
        (50, 0.7943282347),  # 10^-0.1
        (250, 0.3162277660),  # 10^-0.5
        (500, 0.1),
        (750, 0.05),  # 10^-1.5 is below the range
    ],
)
@pytest.mark.parametrize("epochs", [1000, 2000])
def test_decay_rule_counts_epochs_and_not_the_length_of_the_run(epoch, value, epochs):
    assert value_at(Schedule(0.05, 1.0, "decay"), RATE, epoch, epochs) == pytest.approx(value)


ROOT = 4 * math.sqrt(0.5)  # 4 cos(pi / 4)


@pytest.mark.parametrize(
    ("rule", "values"),
    [
        ("linear", [2, 4, 6, 8, 10]),
        ("cosine", [2, 6 - ROOT, 6, 6 + ROOT, 10]),
        ("step", [2, 2, 2, 10, 10]),
    ],
)
def test_rules_over_five_epochs(rule, values):
    climbs = [value_at(Schedule(2, 10, rule), LABELS, e, 5) for e in range(5)]
    falls = [value_at(Schedule(2, 10, rule), RATE, e, 5) for e in range(5)]
    assert climbs == pytest.approx(values)
    assert falls == pytest.approx([12 - value for value in values])


def test_step_changes_at_half_of_an_even_run():
    assert [value_at(Schedule(1, 3, "step"), CLASSES, e, 4) for e in range(4)] == [1, 1, 3, 3]


@pytest.mark.parametrize("rule", ["linear", "cosine"])
def test_a_run_of_one_epoch_is_at_its_end(rule):
    assert value_at(Schedule(2, 10, rule), LABELS, 0, 1) == 10
    assert value_at(Schedule(2, 10, rule), RATE, 0, 1) == 2


@pytest.mark.parametrize("rule", ["linear", "cosine"])
@pytest.mark.parametrize("kind", [LABELS, RATE])
@given(ends=ordered(st.floats(0, 1e6)), epochs=st.integers(2, 300))
@light
def test_both_ends_of_the_range_are_reached_exactly(rule, kind, ends, epochs):
    first, last = ends if kind.rises else reversed(ends)
    assert value_at(Schedule(*ends, rule), kind, 0, epochs) == first
    assert value_at(Schedule(*ends, rule), kind, epochs - 1, epochs) == last


def test_points_hold_until_the_next_and_back_to_the_start():
    schedule = Schedule(3, 8, points=((2, 3), (5, 6), (9, 8)))
    values = [value_at(schedule, CLASSES, e, 12) for e in range(12)]
    assert values == [3, 3, 3, 3, 3, 6, 6, 6, 6, 8, 8, 8]


def test_points_may_say_any_rate():
    schedule = Schedule(0.1, 0.3, points=((0, 0.1), (1, 0.3), (2, 0.2)))
    assert [value_at(schedule, RATE, e, 3) for e in range(3)] == [0.1, 0.3, 0.2]


@pytest.mark.parametrize(
    ("kind", "rule"), [(CLASSES, "epoch"), (LABELS, "fraction"), (RATE, "decay")]
)
def test_default_rules(kind, rule):
    for epoch in range(20):
        default = value_at(Schedule(0.2, 7.5), kind, epoch, 20)
        assert default == value_at(Schedule(0.2, 7.5, rule), kind, epoch, 20)


@pytest.mark.parametrize(
    ("kind", "rule"),
    [
        *[(kind, rule) for kind in (CLASSES, LABELS) for rule in CLIMBING],
        *[(RATE, rule) for rule in ["default", *sorted(RULES)]],
    ],
)
def test_a_single_number_is_constant(kind, rule):
    values = [value_at(Schedule(7, 7, rule), kind, e, 20) for e in range(20)]
    assert values == pytest.approx([7] * 20)


def test_amounts_per_class_spread_evenly_over_the_run():
    rows = plan(epochs=5, labels=Schedule(4, 400, per_class=True))
    assert [row.labels for row in rows] == pytest.approx([4, 103, 202, 301, 400])
    assert all(row.per_class for row in rows)
    assert not any(row.per_class for row in plan())


def test_unknown_rule_is_named_with_the_nearest():
    with pytest.raises(UserError, match=r"'liner'.*'linear'"):
        plan(labels=Schedule(0.1, 0.9, "liner"))


# What holds for any schedule.


@given(
    ends=ordered(st.integers(1, 200)),
    rule=st.sampled_from(CLIMBING),
    epochs=st.integers(1, 60),
    spare=st.integers(0, 3),
)
@light
def test_classes_never_fall_and_stay_in_range(ends, rule, epochs, spare):
    rows = plan(epochs, ends[1] + spare, classes=Schedule(*ends, rule))
    counts = [row.classes for row in rows]
    assert [row.epoch for row in rows] == list(range(epochs))
    assert all(type(count) is int for count in counts)
    assert counts == sorted(counts)
    assert ends[0] <= counts[0] and counts[-1] <= ends[1]


@given(
    ends=ordered(st.floats(0, 1)) | ordered(st.integers(0, 500)),
    rule=st.sampled_from(CLIMBING),
    epochs=st.integers(1, 60),
)
@light
def test_labels_never_fall_and_stay_in_range(ends, rule, epochs):
    per_class = isinstance(ends[0], int)
    rows = plan(epochs, labels=Schedule(*ends, rule, per_class))
    amounts = [row.labels for row in rows]
    last_digit = 1e-12 * max(1, ends[1])
    assert all(b >= a - last_digit for a, b in pairwise(amounts))
    assert all(ends[0] - last_digit <= a <= ends[1] + last_digit for a in amounts)


@pytest.mark.parametrize("name", ["classes", "labels"])
def test_classes_and_labels_never_fall_under_decay(name):
    schedule = Schedule(5, 10, "decay", per_class=name == "labels")
    try:
        rows = plan(**{name: schedule})
    except UserError:
        return  # refusing the rule is as good
    values = [getattr(row, name) for row in rows]
    assert values == sorted(values)


@given(
    points=st.lists(st.tuples(st.integers(0, 80), st.integers(1, 50)), min_size=1),
    epochs=st.integers(1, 60),
)
@light
def test_rising_points_give_rising_classes(points, epochs):
    starts = sorted(start for start, _ in points)
    values = sorted(value for _, value in points)
    schedule = Schedule(values[0], values[-1], points=tuple(zip(starts, values, strict=True)))
    counts = [row.classes for row in plan(epochs, values[-1], classes=schedule)]
    assert counts == sorted(counts)
    assert {*counts} <= {*values}


@given(
    ends=ordered(st.floats(0, 10)),
    rule=st.sampled_from(["default", *sorted(RULES)]),
    epochs=st.integers(1, 60),
)
@light
def test_rates_stay_in_range(ends, rule, epochs):
    rows = plan(epochs, contrastive_rate=Schedule(*ends, rule), probe_rate=Schedule(*ends))
    last_digit = 1e-12
    for row in rows:
        assert ends[0] - last_digit <= row.contrastive_rate <= ends[1] + last_digit
        assert ends[0] <= row.probe_rate <= ends[1]


@given(ends=ordered(st.floats(0, 10)), rule=st.sampled_from(FALLING), epochs=st.integers(1, 60))
@light
def test_rates_never_rise(ends, rule, epochs):
    rows = plan(epochs, probe_rate=Schedule(*ends, rule), contrastive_rate=Schedule(*ends))
    probe, contrastive = zip(*[(r.probe_rate, r.contrastive_rate) for r in rows], strict=True)
    assert all(b <= a + 1e-12 for a, b in pairwise(probe))
    assert list(contrastive) == sorted(contrastive, reverse=True)


# The number of classes of the data.


@pytest.mark.parametrize("class_count", [1, 3, 8, 9, 10, 100])
def test_all_adapts_to_the_data(class_count):
    low = min(8, class_count)
    rows = plan(200, class_count, classes=Schedule(8, None))
    assert [row.classes for row in rows] == [clamp(e, low, class_count) for e in range(200)]
    assert {row.classes for row in plan(20, class_count)} == {class_count}


@pytest.mark.parametrize("rule", CLIMBING)
def test_a_range_that_begins_above_the_data_is_all_of_it(rule):
    counts = [row.classes for row in plan(20, 3, classes=Schedule(8, None, rule))]
    assert counts == [3] * 20


def test_a_class_comes_when_it_is_due_in_full():
    rows = plan(epochs=5, classes=Schedule(2, 4, "linear"))
    assert [row.classes for row in rows] == [2, 2, 3, 3, 4]


@pytest.mark.parametrize("count", [7, 10, 50, 100])
def test_rounding_delays_no_class(count):
    rows = plan(count, count, classes=Schedule(1, None, "linear"))
    assert [row.classes for row in rows] == list(range(1, count + 1))


def test_all_keeps_the_rule():
    assert classes_of_data(Schedule(2, None, "linear"), 7) == Schedule(2, 7, "linear")


@pytest.mark.parametrize(
    "classes", [Schedule(11, 11), Schedule(5, 11), Schedule(5, 11, points=((0, 5), (9, 11)))]
)
def test_more_classes_than_the_data_has(classes):
    with pytest.raises(UserError, match=r"classes .*10 classes.*10 at most.*'all'") as caught:
        plan(class_count=10, classes=classes)
    assert "\n" not in str(caught.value)
    assert plan(class_count=11, classes=classes)[-1].classes == 11


# The defaults of each method, as the spec's table writes them for ten classes.

SPEC = {
    "baseline": {"classes": (5, 10), "labels": (0.5, 0.5), "probe": (0.01, 0.01)},
    "self_supervised": {"classes": (5, 10), "labels": (0.5, 0.5), "probe": (0.01, 0.01)},
    "gradual": {"classes": (8, 10), "labels": (0.01, 0.9), "probe": (0.01, 0.03)},
    "sandbox": {
        "classes": (10, 10),
        "labels": (0.1, 0.9),
        "contrastive": (0.01, 0.01),
        "probe": (0.01, 0.01),
    },
}


@pytest.mark.parametrize("method", sorted(SPEC))
@pytest.mark.parametrize("epochs", [20, 600])
def test_plan_of_each_method(method, epochs):
    config = RunConfig(data="x", method=method, epochs=epochs)
    rows = plan_run(
        epochs=config.epochs,
        class_count=10,
        classes=config.classes,
        labels=config.labels,
        contrastive_rate=config.contrastive_rate,
        probe_rate=config.probe_rate,
    )
    spec = {"contrastive": (0.001, 0.001)} | SPEC[method]
    decay = 0.1 ** (1 / 500)
    assert len(rows) == epochs
    for e, row in enumerate(rows):
        assert (row.epoch, row.per_class) == (e, False)
        assert row.classes == clamp(e, *spec["classes"])
        assert row.labels == pytest.approx(clamp(e / epochs, *spec["labels"]), abs=1e-12)
        for rate, ends in (
            (row.contrastive_rate, spec["contrastive"]),
            (row.probe_rate, spec["probe"]),
        ):
            assert rate == pytest.approx(clamp(ends[1] * decay**e, *ends), rel=1e-9)
