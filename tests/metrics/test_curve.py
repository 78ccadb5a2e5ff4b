"""What twice the labels would bring, where that is known."""

import numpy as np
import pytest

from lll.metrics.curve import DRAWS, learning_curve


def answers(accuracies, m, seed=0):
    """Whether each of m labels is right at each accuracy; the labels that are right stay so."""
    order = np.random.default_rng(seed).random(m)
    return order < np.array(accuracies)[:, None]


def power_law(floor, size, power, labels):
    """One minus an error of floor + size n^-power."""
    return 1 - floor - size * np.array(labels, dtype=float) ** -power


@pytest.mark.parametrize(("floor", "size", "power"), [(0.1, 1, 0.5), (0.3, 2, 1), (0, 0.9, 0.2)])
def test_a_power_law_is_carried_on(floor, size, power):
    before = power_law(floor, size, power, [25, 50, 100])
    after = float(power_law(floor, size, power, 200))
    curve = learning_curve(answers(before, 200_000), 0)
    assert curve.gain == pytest.approx(after - before[2], abs=0.006)
    assert curve.least <= after - before[2] <= curve.most


def test_the_band_covers_what_twice_the_labels_bring():
    """In 19 of 20 cases or so; the labels of a case are few."""
    before = power_law(0.1, 2, 0.6, [50, 100, 200])
    gain = float(power_law(0.1, 2, 0.6, 400)) - before[2]
    rng = np.random.default_rng(0)
    inside = 0
    for case in range(100):
        right = rng.random((3, 400)) < before[:, None]
        curve = learning_curve(right, case)
        inside += curve.least <= gain <= curve.most
    assert inside >= 90


def test_intervals_are_those_of_the_bootstrap():
    right = answers([0.5, 0.6, 0.8], 300)
    curve = learning_curve(right, 3)
    assert curve.accuracy == pytest.approx(right.mean(axis=1))
    for at in range(3):
        spread = (right[at].mean() * (1 - right[at].mean()) / 300) ** 0.5
        assert curve.high[at] - curve.low[at] == pytest.approx(2 * 1.96 * spread, rel=0.15)
    assert DRAWS >= 500


@pytest.mark.parametrize(
    ("accuracies", "limit"),
    [([0.4, 0.5, 0.6], "labels"), ([0.8, 0.8, 0.8], "model"), ([0.9, 0.8, 0.7], "model")],
)
def test_what_limits(accuracies, limit):
    curve = learning_curve(answers(accuracies, 2000), 0)
    assert curve.limited_by == limit


def test_a_few_labels_tell_nothing():
    assert learning_curve(answers([0.5, 0.6, 0.65], 20), 0).limited_by == ""


def test_no_gain_leads_above_everything_right():
    curve = learning_curve(answers([0.5, 0.7, 0.99], 500), 0)
    assert curve.accuracy[2] + curve.most <= 1
