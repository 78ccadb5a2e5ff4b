"""Kernel ridge regression beside scikit-learn, and its part beside its formula."""

import numpy as np
import pytest
import torch
from sklearn.kernel_ridge import KernelRidge
from tests.methods.mixtures import fitted, hide, mixture
from torch.nn.functional import normalize, one_hot

from lll.methods import METHODS
from lll.methods.features.kernel import (
    BLOCK,
    RIDGE,
    Kernel,
    fit_kernel,
    likeness,
    some_rows,
    spoken,
)


def points_and_labels(counts, seed=0):
    features, truth = mixture(counts, seed=seed)
    return normalize(features, dim=1), truth


def test_likeness_is_that_of_gaussians():
    points, _ = points_and_labels([9, 9])
    slow = np.exp(-np.square(points[:, None].numpy() - points[:5].numpy()).sum(axis=2))
    torch.testing.assert_close(likeness(points, points[:5]), torch.from_numpy(slow))


@pytest.mark.parametrize("n", [0, 1, BLOCK, 2 * BLOCK + 1])
def test_in_blocks_the_centres_say_the_same(n):
    points, _ = points_and_labels([n // 2, n - n // 2])
    centres, _ = points_and_labels([5, 6], seed=1)
    weights = torch.randn(11, 3, generator=torch.Generator().manual_seed(0))
    found = spoken(points, centres, weights)
    assert found.shape == (n, 3)
    torch.testing.assert_close(found, likeness(points, centres) @ weights)


def test_it_is_the_ridge_regression_of_scikit_learn_with_balanced_rows():
    points, labels = points_and_labels([40, 10, 4])
    new, _ = points_and_labels([20, 20, 20], seed=3)
    counts = np.bincount(labels)
    slow = KernelRidge(alpha=RIDGE, kernel="rbf", gamma=1.0)
    slow.fit(
        points.double().numpy(),
        one_hot(labels, 3).double().numpy() - 1 / 3,
        sample_weight=counts.mean() / counts[labels],
    )
    ours = likeness(new, points) @ fit_kernel(points, labels, 3)
    np.testing.assert_allclose(ours, slow.predict(new.double().numpy()), atol=1e-4)


def test_of_many_labels_some_are_taken_and_of_rare_classes_all():
    labels = torch.tensor([0] * 50 + [1] * 3 + [2] * 20)
    at = some_rows(labels, 0, most=30)
    assert len(at) == 30
    assert at.tolist() == sorted(set(at.tolist()))
    counts = torch.bincount(labels[at]).tolist()
    assert counts[1] == 3
    assert abs(counts[0] - counts[2]) <= 1
    assert not torch.equal(at, some_rows(labels, 1, most=30))
    assert some_rows(labels, 0).tolist() == list(range(73))


def test_the_part_is_saved_and_read_with_its_centres_and_grows():
    features, truth = mixture([30, 30, 30])
    nets, _ = fitted("kernel", features, hide(truth, 5), 3)
    fresh = Kernel(nets["kernel"].centres.shape[1], 3)
    fresh.load_state_dict(nets["kernel"].state_dict())
    points = nets["transform"](features)
    torch.testing.assert_close(fresh(points), nets["kernel"](points), rtol=0, atol=0)
    before = fresh(points)
    fresh.grow(5)
    torch.testing.assert_close(fresh(points)[:, :3], before)
    assert fresh(points)[:, 3:].eq(0).all()


def test_a_linear_answer_leaves_no_centre_behind_and_older_states_have_none():
    features, truth = mixture([30, 30, 30])
    nets, _ = fitted("logistic", features, hide(truth, 5), 3)
    assert not len(nets["kernel"].centres)
    fresh = Kernel(nets["kernel"].centres.shape[1], 3)
    fresh.load_state_dict({})
    linear = nets["probe"](nets["transform"](features))
    assert torch.equal(METHODS["logistic"].answers(nets, features)[1], linear)
