import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.methods.cases import assert_close, normal, value_and_gradients
from tests.reference import slow_losses as slow

from lll.errors import UserError
from lll.methods.losses.contrast import CONTRASTS, NORM_EPSILON, info_nce, nt_xent

both = pytest.mark.parametrize("name", sorted(CONTRASTS))
TEMPERATURE = 0.1


def views(n, d, seed=0, scale=1.0, dtype=torch.float64):
    return (
        normal(n, d, seed=2 * seed, scale=scale, dtype=dtype),
        normal(n, d, seed=2 * seed + 1, scale=scale, dtype=dtype),
    )


@both
@given(
    n=st.integers(1, 6),
    d=st.integers(1, 5),
    seed=st.integers(0, 10**6),
    temperature=st.sampled_from([0.05, 0.1, 1.0]),
    scale=st.sampled_from([1.0, 1e4]),
)
@settings(max_examples=20, deadline=None)
def test_equals_twin(name, n, d, seed, temperature, scale):
    first, second = views(n, d, seed, scale)
    fast, twin = CONTRASTS[name], getattr(slow, name)
    assert_close(
        value_and_gradients(lambda a, b: fast(a, b, temperature)[0], first, second),
        value_and_gradients(lambda a, b: twin(a, b, temperature)[0], first, second),
    )
    # In one dimension projections are ±1 and tie: the twin counts a tie as a miss.
    if d > 1:
        assert fast(first, second, temperature)[1].item() == pytest.approx(
            twin(first, second, temperature)[1]
        )


@pytest.mark.parametrize("n", [2, 3, 8])
def test_identical_orthonormal_views_have_a_closed_form(n):
    z = torch.eye(n, dtype=torch.float64)
    other = math.exp(-1 / TEMPERATURE)
    assert info_nce(z, z, TEMPERATURE)[0].item() == pytest.approx(math.log1p((n - 1) * other))
    assert nt_xent(z, z, TEMPERATURE)[0].item() == pytest.approx(math.log1p((2 * n - 2) * other))


def test_exchanged_pairs_by_hand():
    first = torch.eye(2, dtype=torch.float64)
    second = first.flip(0)
    # Each pair has similarity 0; the other image of the other view has similarity 1.
    loss, accuracy = info_nce(first, second, 1.0)
    assert loss.item() == pytest.approx(math.log(1 + math.e))
    assert accuracy == 0
    # NT-Xent adds the other image of the same view, with similarity 0.
    loss, accuracy = nt_xent(first, second, 1.0)
    assert loss.item() == pytest.approx(math.log(2 + math.e))
    assert accuracy == 0


@both
def test_accuracy_is_one_on_identical_well_separated_views(name):
    z = torch.eye(6)
    loss, accuracy = CONTRASTS[name](z, 3 * z, TEMPERATURE)
    assert accuracy == 1
    assert loss < 1e-3


@both
def test_accuracy_of_a_collapsed_projection_is_no_better_than_chance(name):
    z = torch.ones(8, 4)
    assert CONTRASTS[name](z, z, TEMPERATURE)[1] <= 1 / 8


@both
def test_accuracy_averages_both_ways(name):
    # Row 0 of `second` is near both rows of `first`; only one way confuses them.
    first = torch.tensor([[1.0, 0.0, 0.0], [0.6, 0.8, 0.0]])
    second = torch.tensor([[1.0, 0.0, 0.0], [0.0, 0.5, 1.0]])
    fast = CONTRASTS[name](first, second, TEMPERATURE)[1].item()
    twin = getattr(slow, name)(first, second, TEMPERATURE)[1]
    assert 0 < fast < 1
    assert fast == pytest.approx(twin)


@both
def test_accuracy_carries_no_gradient(name):
    first, second = (x.requires_grad_() for x in views(4, 3))
    loss, accuracy = CONTRASTS[name](first, second, TEMPERATURE)
    assert loss.requires_grad
    assert not accuracy.requires_grad


@both
@pytest.mark.parametrize("seed", range(5))
def test_same_when_views_swap_or_images_change_places(name, seed):
    first, second = views(7, 4, seed)
    order = torch.randperm(7, generator=torch.Generator().manual_seed(seed))
    loss = CONTRASTS[name]
    expected = torch.stack(loss(first, second, TEMPERATURE))
    torch.testing.assert_close(torch.stack(loss(second, first, TEMPERATURE)), expected)
    shuffled = loss(first[order], second[order], TEMPERATURE)
    torch.testing.assert_close(torch.stack(shuffled), expected)


@both
@pytest.mark.parametrize("factor", [1e-3, 7.0, 1e4])
def test_same_when_projections_are_scaled(name, factor):
    first, second = views(5, 4)
    expected = torch.stack(CONTRASTS[name](first, second, TEMPERATURE))
    scaled = torch.stack(CONTRASTS[name](first * factor, second / factor, TEMPERATURE))
    torch.testing.assert_close(scaled, expected)


@given(n=st.integers(1, 9), d=st.integers(1, 5), seed=st.integers(0, 10**6))
@settings(max_examples=30, deadline=None)
def test_more_negatives_never_lower_the_loss(n, d, seed):
    first, second = views(n, d, seed)
    assert nt_xent(first, second, TEMPERATURE)[0] >= info_nce(first, second, TEMPERATURE)[0] - 1e-12


@both
def test_one_image_is_trivially_right(name):
    first, second = views(1, 4, dtype=torch.float32)
    loss, accuracy = CONTRASTS[name](first, second, TEMPERATURE)
    assert loss == pytest.approx(0, abs=1e-6)
    assert accuracy == 1


@both
def test_empty_batch_is_zero(name):
    loss, accuracy = CONTRASTS[name](torch.zeros(0, 4), torch.zeros(0, 4), TEMPERATURE)
    assert loss == 0
    assert accuracy == 0


@both
@pytest.mark.parametrize("n", [1, 2, 16])
@pytest.mark.parametrize("scale", [0.0, 1e-30, 1.0, 1e4])
def test_finite_in_float32(name, n, scale):
    first, second = views(n, 128, scale=scale, dtype=torch.float32)
    second[0] = 0
    results = value_and_gradients(lambda a, b: CONTRASTS[name](a, b, TEMPERATURE)[0], first, second)
    assert all(x.isfinite().all() for x in results)


@both
@pytest.mark.parametrize("temperature", [0.0, -0.1, math.nan])
def test_temperature_must_be_positive(name, temperature):
    with pytest.raises(UserError, match="temperature"):
        CONTRASTS[name](torch.eye(2), torch.eye(2), temperature)


@both
def test_gradient_passes_a_numerical_check(name):
    first, second = (x.requires_grad_() for x in views(3, 4))
    torch.autograd.gradcheck(lambda a, b: CONTRASTS[name](a, b, 0.5)[0], (first, second))


@both
def test_dead_projection_has_a_bounded_gradient(name):
    first, second = views(4, 3)
    first[0] = 0
    _, by_first, _ = value_and_gradients(
        lambda a, b: CONTRASTS[name](a, b, TEMPERATURE)[0], first, second
    )
    # No entry of a unit vector is above 1, and the softmax errors of a row sum to at most 2,
    # forth and back.
    assert 0 < by_first[0].abs().max() <= 4 / (TEMPERATURE * NORM_EPSILON)
