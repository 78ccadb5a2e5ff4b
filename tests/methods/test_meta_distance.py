import math

import pytest
import torch
from tests.methods.cases import assert_close, batch, normal, value_and_gradients
from tests.reference import slow_losses as slow

from lll.errors import UserError
from lll.methods.sandbox.meta_distance import DISTANCE_EPSILON, meta_distance
from lll.methods.sandbox.meta_points import meta_points


@pytest.mark.parametrize("seed", range(5))
def test_repel_is_the_opposite_of_attract(seed):
    U, L, _, _ = batch(6, 5, 4, seed=seed)
    attract = value_and_gradients(lambda U, L: meta_distance(U, L, "attract"), U, L)
    repel = value_and_gradients(lambda U, L: meta_distance(U, L, "repel"), U, L)
    assert_close(repel, [-x for x in attract])


def test_attract_is_the_default():
    U, L, _, _ = batch(6, 5, 4)
    assert meta_distance(U, L) == meta_distance(U, L, "attract")


def test_zero_distance_is_finite():
    # One labelled point gets every share, so that m = (sum of U) * L = L.
    U, L = torch.tensor([[1.0, 1.0]]), torch.tensor([[2.0, 3.0]])
    value, *gradients = value_and_gradients(meta_distance, U, L)
    assert value.item() == pytest.approx(math.log(DISTANCE_EPSILON))
    assert all((g == 0).all() for g in gradients)


def test_without_unlabelled_the_distance_is_the_norm():
    L = torch.tensor([[3.0, 4.0], [0.0, 1.0]])
    assert meta_distance(torch.zeros(0, 2), L).item() == pytest.approx(math.log(5) / 2)


@pytest.mark.parametrize("scale", [1e-30, 1e-10, 1e19, 1e30])
def test_squares_neither_overflow_nor_underflow(scale):
    L = torch.tensor([[3.0, 4.0]]) * scale
    value, by_l = value_and_gradients(lambda x: meta_distance(torch.zeros(0, 2), x), L)
    assert value.item() == pytest.approx(math.log(max(5 * scale, DISTANCE_EPSILON)), abs=1e-4)
    assert by_l.isfinite().all()


def test_unknown_direction_is_named():
    U, L, _, _ = batch(3, 3, 2)
    with pytest.raises(UserError, match="did you mean 'attract'"):
        meta_distance(U, L, "atract")


def test_meta_points_equal_twin():
    U, L, weights = (
        normal(*s, seed=i, dtype=torch.float64) for i, s in enumerate([(5, 3), (4, 3), (5, 4)])
    )
    twin = torch.stack([slow.meta_point(U, L[j], list(weights[:, j])) for j in range(4)])
    torch.testing.assert_close(meta_points(U, L, weights), twin)
