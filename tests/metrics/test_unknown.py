"""AUROC and calibration of an unknown score, by hand."""

import numpy as np
import pytest

from lll.metrics.unknown import auroc, calibration_error


def test_auroc_is_the_share_of_pairs_in_order():
    outside = np.array([False, False, True, True])
    scores = np.array([0.1, 0.6, 0.6, 0.9], np.float32)
    assert auroc(outside, scores) == pytest.approx(3.5 / 4)


def test_calibration_weighs_both_kinds_alike():
    outside = np.array([True] + [False] * 9)
    assert calibration_error(outside, np.where(outside, 1.0, 0.0)) == 0
    assert calibration_error(outside, np.full(10, 0.5)) == pytest.approx(0)
    assert calibration_error(outside, np.where(outside, 0.0, 1.0)) == pytest.approx(1)
    assert calibration_error(outside, np.full(10, 0.9)) == pytest.approx(0.4)
