import numpy as np
import pytest

from lll.errors import UserError
from lll.metrics.conformal import conformal_threshold, nonconformity, prediction_sets


def answers(n, classes=5, seed=0):
    """Labels [n] and probabilities [n, c] that are honest: the label is drawn from them."""
    rng = np.random.default_rng(seed)
    probabilities = rng.dirichlet(np.full(classes, 0.4), n)
    labels = (probabilities.cumsum(axis=1) < rng.random((n, 1))).sum(axis=1)
    return probabilities, labels.clip(max=classes - 1)


@pytest.mark.parametrize("error", [0.05, 0.2])
def test_sets_miss_the_truth_as_often_as_they_may(error):
    covered, sizes = [], []
    for seed in range(200):
        threshold = conformal_threshold(nonconformity(*answers(99, seed=seed)), error)
        probabilities, labels = answers(200, seed=1000 + seed)
        sets = prediction_sets(probabilities, threshold)
        covered.append(sets[np.arange(200), labels].mean())
        sizes.append(sets.sum(axis=1).mean())
    assert 1 - error - 0.005 < np.mean(covered) < 1 - error + 0.03
    assert 1 <= np.mean(sizes) < 5


def test_19_labels_are_the_fewest_for_five_percent():
    scores = np.linspace(0, 1, 19)
    assert conformal_threshold(scores) == 1.0
    assert conformal_threshold(scores[:18]) is None
    assert conformal_threshold(np.zeros(0)) is None


def test_without_a_threshold_every_class_is_named():
    assert prediction_sets(answers(4)[0], None).all()


def test_no_set_is_empty():
    sets = prediction_sets(np.array([[0.4, 0.35, 0.25]]), 0.1)
    assert sets.tolist() == [[True, False, False]]


@pytest.mark.parametrize("error", [0, 1, 5])
def test_an_error_is_a_share(error):
    with pytest.raises(UserError, match="between 0 and 1"):
        conformal_threshold(np.zeros(30), error)
