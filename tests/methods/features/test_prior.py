import numpy as np
import pytest
import torch

from lll.methods.features.prior import balance, estimate_prior, left, prior_among

NONE = torch.zeros(3)


def likelihoods(shares, n=20_000, apart=2.0, seed=0):
    """Likelihoods [n, c] of points on a line under unit Gaussians, drawn by ``shares``."""
    rng = np.random.default_rng(seed)
    centres = apart * np.arange(len(shares))
    x = rng.normal(centres[rng.choice(len(shares), n, p=shares)])
    return torch.from_numpy(np.exp(-((x[:, None] - centres) ** 2) / 2)).float()


@pytest.mark.parametrize("shares", [(0.9, 0.08, 0.02), (1 / 3, 1 / 3, 1 / 3)])
def test_expectation_maximisation_finds_the_prior_of_a_known_mixture(shares):
    found = estimate_prior(likelihoods(shares), NONE, 1e6, NONE, 20_000)
    np.testing.assert_allclose(found, shares, atol=0.02)


def test_without_images_the_prior_is_that_of_the_labels():
    counts = torch.tensor([7.0, 1.0, 0.0])
    found = estimate_prior(torch.zeros(0, 3), counts, 0, counts, 0)
    torch.testing.assert_close(found, torch.tensor([8.0, 2.0, 1.0]) / 11)


def test_balanced_rows_sum_to_one_and_columns_to_the_prior():
    prior = torch.tensor([0.7, 0.2, 0.1])
    soft = balance(torch.rand(500, 3, generator=torch.Generator().manual_seed(0)), prior, 200)
    torch.testing.assert_close(soft.sum(dim=1), torch.ones(500))
    torch.testing.assert_close(soft.mean(dim=0), prior, atol=1e-4, rtol=0)


def test_images_with_a_label_count_as_their_class():
    labelled = torch.tensor([9000.0, 0.0, 1000.0])
    found = estimate_prior(likelihoods((0.1, 0.5, 0.4), 10_000), NONE, 1e6, labelled, 10_000)
    np.testing.assert_allclose(found, (0.5, 0.25, 0.25), atol=0.02)
    np.testing.assert_allclose(left(found, labelled, 10_000), (0.1, 0.5, 0.4), atol=0.04)


def test_of_classes_that_are_labelled_whole_nothing_is_left():
    labelled = torch.tensor([1000.0, 1000.0, 10.0])
    prior = prior_among(likelihoods((0, 0, 1), 990, apart=4.0), labelled, 990)
    assert left(prior, labelled, 990)[2] > 0.85
    assert prior.max() < 2 * prior.min()


def test_with_few_labels_what_is_left_is_as_frequent_as_all():
    prior = torch.tensor([0.7, 0.2, 0.1])
    few = torch.tensor([4.0, 4.0, 4.0])
    torch.testing.assert_close(left(prior, few, 50_000), prior, atol=2e-4, rtol=0)
