"""Scores of the gradual benchmark against hand-made examples and the obvious loops."""

import numpy as np
import pytest
from benchmarks.accuracy.gradual_score import (
    Answers,
    calibration_error,
    means,
    over_orders,
    stage_scores,
    with_forgetting,
)
from scipy import stats


def answers(of, probability=None, unknown=None):
    n = len(of)
    return Answers(
        np.array(of),
        np.full(n, 0.5) if probability is None else np.array(probability),
        np.zeros(n) if unknown is None else np.array(unknown, dtype=float),
    )


TRUTH = np.array([0, 0, 2, 2, 1, 1, 3, 3])  # classes 0 and 2 have labels


def test_known_new_and_all_by_hand():
    # 0: one right, one taken for 2. 2: both right. 1: both in group 7. 3: one in group 9, one as 0.
    found = stage_scores(answers([0, 2, 2, 2, 7, 7, 9, 0]), TRUTH, [0, 2], 4)
    assert (found["known"], found["new"], found["all"]) == (3 / 4, 3 / 4, 6 / 8)
    assert found["per_class"] == [0.5, None, 1.0, None]


def test_a_class_without_labels_that_is_named_is_a_group_like_others():
    groups = stage_scores(answers([0, 0, 2, 2, 8, 8, 5, 5]), TRUTH, [0, 2], 4)
    swapped = stage_scores(answers([0, 0, 2, 2, 3, 3, 1, 1]), TRUTH, [0, 2], 4)
    assert groups["new"] == swapped["new"] == 1
    # A group that known images are in does not become their class.
    assert stage_scores(answers([6, 6, 2, 2, 1, 1, 3, 3]), TRUTH, [0, 2], 4)["known"] == 0.5


def test_one_group_is_one_class():
    found = stage_scores(answers([0, 0, 2, 2, 4, 4, 4, 4]), TRUTH, [0, 2], 4)
    assert found["new"] == 0.5
    split = stage_scores(answers([0, 0, 2, 2, 4, 5, 6, 7]), TRUTH, [0, 2], 4)
    assert split["new"] == 0.5


def test_the_order_in_which_classes_came_changes_nothing():
    rng = np.random.default_rng(0)
    truth, of = rng.integers(0, 6, 200), rng.integers(0, 9, 200)
    one, other = (stage_scores(answers(of), truth, known, 6) for known in ([4, 0, 2], [0, 2, 4]))
    assert one == other


def test_unknown_scores_are_judged_by_their_order():
    unknown = [0.1, 0.2, 0.3, 0.9, 0.8, 0.7, 0.6, 0.95]  # one known image above three of four
    found = stage_scores(answers([0] * 8, unknown=unknown), TRUTH, [0, 2], 4)
    assert found["auroc"] == pytest.approx(13 / 16)
    assert stage_scores(answers([0] * 8), TRUTH, [0, 1, 2, 3], 4)["auroc"] is None


def test_calibration_error_is_that_of_bins():
    rng = np.random.default_rng(1)
    probability, right = rng.random(500), rng.random(500) < 0.6
    gap = 0.0
    for low in range(15):
        mine = [i for i in range(500) if low <= min(int(probability[i] * 15), 14) < low + 1]
        if mine:
            share = sum(right[i] for i in mine) / len(mine)
            gap += len(mine) / 500 * abs(share - sum(probability[i] for i in mine) / len(mine))
    assert calibration_error(right, probability) == pytest.approx(gap)
    assert calibration_error(np.array([True]), np.array([1.0])) == 0


def test_forgetting_counts_from_the_stage_that_brought_the_class():
    rows = [[0.8, None], [0.9, 0.3], [0.7, 0.6]]
    stages = with_forgetting([{"per_class": row} for row in rows])
    assert [stage["forgetting"] for stage in stages] == [
        None,
        pytest.approx(-0.1),
        pytest.approx(((0.9 - 0.7) + (0.3 - 0.6)) / 2),
    ]


def test_means_are_over_the_stages_that_have_a_figure():
    first = {"all": 0.4, "known": 0.8, "new": 0.2, "ece": 0.1, "auroc": 0.7, "forgetting": None}
    last = {"all": 0.6, "known": 0.6, "new": None, "ece": 0.3, "auroc": None, "forgetting": 0.05}
    found = means([first, last])
    assert found == {
        "all": 0.5, "known": pytest.approx(0.7), "new": 0.2,
        "forgetting": 0.05, "ece": 0.2, "auroc": 0.7,
    }  # fmt: skip


def test_draws_of_an_order_are_one_value():
    found = over_orders([(0, 0.1), (0, 0.3), (1, 0.4), (2, 0.3), (2, None)])
    expected = stats.ttest_1samp([0.2, 0.4, 0.3], 0).confidence_interval(0.95)
    assert (found["n"], found["mean"]) == (3, pytest.approx(0.3))
    assert found["interval"] == pytest.approx([expected.low, expected.high])
