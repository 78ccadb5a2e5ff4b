"""What the page says may be wrong: labels, copies of images."""

import numpy as np
import pytest
import torch

from lll.label.model import FEW, curve_of, judge, pose, teach
from lll.label.twins import CLOSE, twins
from lll.methods import auto
from lll.methods.features.fitted import best_scale
from lll.methods.features.space import fit_space

CLASSES = 4


def never():
    return False


def mixture(each, seed, spread=1.0):
    """Features of ``CLASSES`` groups that overlap a little, and the group of each."""
    rng = np.random.default_rng(seed)
    truth = np.arange(CLASSES * each) % CLASSES
    centres = rng.random((CLASSES, 64)) * 2
    return torch.from_numpy(
        (centres[truth] + spread * rng.random((len(truth), 64))).astype(np.float32)
    ), truth


@pytest.mark.parametrize("seed", range(3))
def test_wrong_labels_are_among_the_first_that_are_doubted(seed):
    """Four fifths of the planted ones are in the first tenth of the labels."""
    features, truth = mixture(100, seed)
    rng = np.random.default_rng(seed)
    wrong = rng.choice(len(truth), len(truth) // 20, replace=False)
    targets = truth.copy()
    targets[wrong] = (targets[wrong] + rng.integers(1, CLASSES, len(wrong))) % CLASSES
    found = judge(pose(fit_space(features, features[None]), targets, 0), never).doubtful
    first = found[: len(truth) // 10]
    assert len(set(first) & set(wrong)) >= 0.8 * len(wrong)


@pytest.mark.parametrize("learner", ["propagate", "logistic"])
def test_probabilities_are_of_the_classes_with_a_label(learner):
    features, truth = mixture(20, 0)
    targets = np.where((truth < 2) & (np.arange(len(truth)) < 40), truth, -1)
    space = fit_space(features, features[None])
    found = teach(pose(space, targets, 0), learner, 1.0).says(space, 5)
    assert found.shape == (len(truth), 5)
    np.testing.assert_allclose(found.sum(axis=1), 1, rtol=1e-5)
    assert not found[:, 2:].any()
    assert (found.argmax(axis=1)[truth < 2] == truth[truth < 2]).all()


def test_the_judgement_is_that_of_auto():
    features, truth = mixture(60, 2, spread=4)
    space = fit_space(features, features[None])
    problem = pose(space, np.where(np.arange(len(truth)) < 60, truth, -1), 0)
    expected = auto.answer(problem)
    found = judge(problem, never)
    assert found.taught.learner == expected.notes["taken"]
    assert found.taught.scale == best_scale(expected.held, expected.truth)
    torch.testing.assert_close(found.taught.weights, expected.weights)
    assert judge(problem, lambda: True) is None


def test_more_labels_help_where_there_are_few_and_not_where_there_are_many():
    features, truth = mixture(600, 1, spread=6)
    space = fit_space(features, features[None])

    def curve(labels):
        targets = np.where(np.arange(len(truth)) < labels, truth, -1)
        return curve_of(pose(space, targets, 0), "logistic", never)

    few, enough = curve(FEW), curve(len(truth))
    assert few.limited_by == "labels"
    assert enough.limited_by == "model"
    assert few.gain > enough.gain
    assert curve(FEW - 1) is None


def test_twins_are_found_as_by_comparing_all():
    rng = np.random.default_rng(0)
    points = rng.normal(size=(1300, 24))
    points[700:760] = points[:60] + rng.normal(0, 0.01, (60, 24))
    points[1200] = points[700]
    points /= np.linalg.norm(points, axis=1, keepdims=True)
    groups = twins(points.astype(np.float32))
    assert sorted(groups[0]) == [0, 700, 1200]
    close = np.argwhere(np.triu(points @ points.T >= CLOSE, 1))
    together = {(a, b) for group in groups for a in sorted(group) for b in sorted(group) if a < b}
    assert {(int(a), int(b)) for a, b in close} <= together
    assert sum(map(len, groups)) == 121
