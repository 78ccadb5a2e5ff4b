import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import auc

from lll.metrics.progress import area_under_labels, forgetting_per_class, mean_forgetting


def test_forgetting_by_hand():
    accuracies = [
        # a   b    c    d    e
        [0.9, 0.7, 0.0, 0.0, None],
        [0.5, 0.1, 0.6, 0.0, None],
        [0.4, 0.2, 0.8, 0.3, None],
    ]
    found = forgetting_per_class(accuracies, since=(0, 1, 1, 2, 0))
    # b was right by chance before it was represented; d came with the last epoch.
    assert found == pytest.approx((0.5, -0.1, -0.2, None, None))
    assert mean_forgetting(found) == pytest.approx(0.2 / 3)


def test_a_class_never_represented_is_not_forgotten():
    assert forgetting_per_class([[0.5, 0.5]] * 3, since=(None, 0)) == (None, 0.0)


def test_one_epoch_forgets_nothing():
    assert forgetting_per_class([[0.5, 0.5]], since=(0, 0)) == (None, None)
    assert mean_forgetting((None, None)) is None


def test_area_by_hand():
    # From 10 to 20 labels the accuracy goes from 0.2 to 0.4, then from 0.4 to 0.8 up to 50.
    assert area_under_labels([10, 20, 50], [0.2, 0.4, 0.8]) == pytest.approx(
        (10 * 0.3 + 30 * 0.6) / 40
    )


def test_epochs_without_new_labels_have_no_width():
    waits = area_under_labels([10, 10, 20, 20, 20], [0.0, 0.5, 0.5, 0.9, 1.0])
    assert waits == pytest.approx(0.5)


@pytest.mark.parametrize("labels", [[5], [5, 5, 5], [0, 0]])
def test_without_labels_arriving_there_is_no_area(labels):
    assert area_under_labels(labels, [0.5] * len(labels)) is None


CURVES = st.lists(st.tuples(st.integers(0, 500), st.floats(0, 1)), min_size=1, max_size=20)


@given(CURVES)
@settings(deadline=None)
def test_area_is_that_of_sklearn_over_the_range_and_a_share(curve):
    labels = sorted(count for count, _ in curve)
    shares = [share for _, share in curve]
    found = area_under_labels(labels, shares)
    if labels[0] == labels[-1]:
        assert found is None
        return
    assert found == pytest.approx(auc(labels, shares) / (labels[-1] - labels[0]), abs=1e-12)
    assert np.min(shares) - 1e-9 <= found <= np.max(shares) + 1e-9
