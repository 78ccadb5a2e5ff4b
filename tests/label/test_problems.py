"""What the page says may be wrong: labels, copies of images."""

import numpy as np
import pytest
import torch

from lll.label.model import FEW, Choice, curve_of, judge, pose, teach
from lll.label.twins import CLOSE, twins
from lll.methods import auto, kernel, logistic, propagate
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


@pytest.mark.parametrize("learner", ["propagate", "logistic", "kernel"])
def test_probabilities_are_of_the_classes_with_a_label(learner):
    features, truth = mixture(20, 0)
    targets = np.where((truth < 2) & (np.arange(len(truth)) < 40), truth, -1)
    space = fit_space(features, features[None])
    found = teach(pose(space, targets, 0), Choice(learner, penalty=0.1)).says(space, 5)
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


@pytest.mark.parametrize(("each", "spread"), [(60, 4), (400, 3), (60, 0.1)])
def test_an_answer_is_learned_from_as_the_judgement_chose(each, spread):
    """The same labels give the same model: no label is held out to choose anew."""
    features, truth = mixture(each, 3, spread)
    space = fit_space(features, features[None])
    targets = np.where(np.arange(len(truth)) < len(truth) // 2, truth, -1)
    problem = pose(space, targets, 0)
    for learner in ("propagate", "logistic", "kernel"):
        answer = {"propagate": propagate, "logistic": logistic, "kernel": kernel}[learner].answer(
            problem
        )
        scale = best_scale(answer.held, answer.truth)
        penalty = answer.notes.get("penalty", 0.0) * float(problem.counts.mean())
        found = teach(problem, Choice(learner, scale, penalty))
        torch.testing.assert_close(
            found.logits(space.points), answer.logits(space.points), atol=1e-4, rtol=1e-4
        )
        assert found.scale == scale
    judged = judge(problem, never)
    again = teach(problem, judged.choice)
    torch.testing.assert_close(
        again.says(space, CLASSES), judged.taught.says(space, CLASSES), atol=1e-4, rtol=1e-4
    )


def test_the_penalty_is_that_of_the_choice():
    features, truth = mixture(60, 3, 4)
    problem = pose(fit_space(features, features[None]), truth, 0)
    sizes = [
        float(teach(problem, Choice("logistic", penalty=one)).weights.norm())
        for one in logistic.PENALTIES
    ]
    assert sizes == sorted(sizes, reverse=True)
    assert sizes[0] > 2 * sizes[-1]


def test_a_judgement_gives_way_after_each_piece_of_work():
    """Every learner and every fold is a piece; what is asked for in between is not kept waiting."""
    features, truth = mixture(60, 2, spread=4)
    problem = pose(fit_space(features, features[None]), truth, 0)
    asked = []
    judge(problem, lambda: bool(asked.append(0)))
    assert len(asked) >= 1 + len(problem.folds()) + len(auto.RIVALS)
    for last in range(1, len(asked) + 1):
        left = iter([False] * (last - 1) + [True])
        assert judge(problem, lambda left=left: next(left)) is None


def test_more_labels_help_where_there_are_few_and_not_where_there_are_many():
    features, truth = mixture(600, 1, spread=6)
    space = fit_space(features, features[None])

    def curve(labels):
        targets = np.where(np.arange(len(truth)) < labels, truth, -1)
        return curve_of(pose(space, targets, 0), Choice("logistic", penalty=0.1), never)

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
