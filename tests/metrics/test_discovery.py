"""Accuracy of known and new classes, by hand."""

import numpy as np
import pytest

from lll.metrics.discovery import discovery_accuracy


def test_new_groups_are_matched_to_new_classes_alone():
    truth = np.array([0, 0, 1, 1, 2, 2, 2, 3, 3])
    of = np.array([0, 1, 1, 1, 3, 3, 0, 2, 2])  # 3 is class 2, and 2 is class 3
    found = discovery_accuracy(of, truth, known=2)
    assert found.known == pytest.approx(3 / 4)
    assert found.new == pytest.approx(4 / 5)
    assert found.all == pytest.approx(7 / 9)
    assert found.all_slots == pytest.approx(7 / 9)


def test_all_slots_forgives_known_classes_that_are_mixed_up():
    truth = np.array([0, 0, 1, 1, 2, 2])
    of = np.array([1, 1, 0, 0, 2, 2])
    found = discovery_accuracy(of, truth, known=2)
    assert (found.known, found.new, found.all_slots) == (0, 1, 1)


def test_more_groups_than_classes_and_none_at_all():
    truth = np.array([0, 0, 1, 1, 1, 1])
    found = discovery_accuracy(np.array([0, 0, 1, 1, 2, 3]), truth, known=1)
    assert (found.known, found.new) == (1, 0.5)
    assert discovery_accuracy(np.zeros(2, np.int64), np.array([0, 1]), known=1).new == 0
    assert discovery_accuracy(np.zeros(2, np.int64), np.array([0, 0]), known=1).new is None
