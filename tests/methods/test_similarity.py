import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.methods.cases import OperatorRecord, assert_close, normal, value_and_gradients
from tests.reference import slow_losses as slow

from lll.methods.sandbox.similarity import DISTANCE_EPSILON, SIMILARITIES, WEIGHTED_MEANS

each = pytest.mark.parametrize("name", sorted(SIMILARITIES))


def points(a, b, d, seed=0, scale=1.0, dtype=torch.float64):
    return (
        normal(a, d, seed=2 * seed, scale=scale, dtype=dtype),
        normal(b, d, seed=2 * seed + 1, scale=scale, dtype=dtype),
    )


def slow_weighted_mean(L, U, weights, name):
    compare = slow.SIMILARITIES[name]
    rows = [
        torch.stack(
            [
                slow.mean([compare(x, w * y) for w, y in zip(weights[:, c], U, strict=True)], L)
                for c in range(weights.shape[1])
            ]
        )
        for x in L
    ]
    return torch.stack(rows)


def test_both_tables_know_the_same_names():
    assert SIMILARITIES.keys() == WEIGHTED_MEANS.keys() == slow.SIMILARITIES.keys()


@each
@given(
    a=st.integers(1, 5),
    b=st.integers(1, 5),
    d=st.integers(1, 5),
    seed=st.integers(0, 10**6),
    scale=st.sampled_from([1.0, 1e4]),
)
@settings(max_examples=20, deadline=None)
def test_matrix_equals_twin(name, a, b, d, seed, scale):
    pair = points(a, b, d, seed, scale)
    assert_close(
        value_and_gradients(SIMILARITIES[name], *pair),
        value_and_gradients(lambda x, y: slow.similarity_matrix(x, y, name), *pair),
    )


@each
@given(
    labelled=st.integers(1, 5),
    unlabelled=st.integers(0, 5),
    c=st.integers(1, 4),
    seed=st.integers(0, 10**6),
    scale=st.sampled_from([1.0, 1e4]),
    sharp=st.booleans(),
)
@settings(max_examples=20, deadline=None)
def test_weighted_mean_equals_twin(name, labelled, unlabelled, c, seed, scale, sharp):
    L, U = points(labelled, unlabelled, 4, seed, scale)
    weights = torch.softmax(
        normal(unlabelled, c, seed=seed, scale=1e4 if sharp else 1, dtype=torch.float64), dim=1
    )
    assert_close(
        value_and_gradients(WEIGHTED_MEANS[name], L, U, weights),
        value_and_gradients(lambda *x: slow_weighted_mean(*x, name), L, U, weights),
        tolerance=1e-8,
    )


@pytest.mark.parametrize("scale", [1.0, 1e4])
@pytest.mark.parametrize("name", ["matrix", "weighted_mean"])
def test_identical_points_are_found_identical_in_float32(name, scale):
    x = normal(6, 128, seed=0, scale=scale, dtype=torch.float32)

    def compare(a, b):
        if name == "matrix":
            return SIMILARITIES["inverse_distance"](a, b).diagonal()
        # One point at a time, each with the full weight of its only class.
        one = torch.ones(1, 1)
        mean = WEIGHTED_MEANS["inverse_distance"]
        return torch.stack([mean(p[None], q[None], one)[0, 0] for p, q in zip(a, b, strict=True)])

    values, by_a, by_b = value_and_gradients(compare, x, x)
    torch.testing.assert_close(values, torch.full((6,), 1 / DISTANCE_EPSILON))
    # (1 - w) is exactly 0 and the distance is exactly 0: nothing is left to push the points.
    assert by_a.abs().max() == 0
    assert by_b.abs().max() == 0


@pytest.mark.parametrize("scale", [1.0, 1e4])
def test_close_points_keep_their_distance_in_float32(scale):
    # Apart by 2^-10 of their scale, a distance that float32 represents exactly in the inputs.
    a = torch.full((1, 128), scale, dtype=torch.float32)
    b = a * (1 + 2**-10)
    exact = slow.inverse_distance(a[0].double(), b[0].double()).float()
    torch.testing.assert_close(SIMILARITIES["inverse_distance"](a, b)[0, 0], exact)
    mean = WEIGHTED_MEANS["inverse_distance"](a, b, torch.ones(1, 1))
    torch.testing.assert_close(mean[0, 0], exact)


def test_inverse_distance_stays_between_zero_and_its_cap():
    # L is exactly half of U, and the weight one half: the identity cancels completely.
    U = normal(50, 128, seed=1, scale=1e4, dtype=torch.float32)
    mean = WEIGHTED_MEANS["inverse_distance"](U / 2, U, torch.full((50, 1), 0.5))
    assert (mean > 0).all()
    assert (mean <= 1 / DISTANCE_EPSILON).all()


@each
def test_no_tensor_of_pairs_by_features(name):
    L, U = (x.requires_grad_() for x in points(7, 11, 13))
    with OperatorRecord() as record:
        SIMILARITIES[name](L, U).sum().backward()
        WEIGHTED_MEANS[name](L, U, torch.full((11, 3), 1 / 3, dtype=torch.float64)).sum().backward()
    assert record.largest < 7 * 11 * 13


@each
def test_empty_sets(name):
    empty, x = torch.zeros(0, 3), torch.ones(2, 3)
    assert SIMILARITIES[name](empty, x).shape == (0, 2)
    assert SIMILARITIES[name](x, empty).shape == (2, 0)
    values, *gradients = value_and_gradients(WEIGHTED_MEANS[name], x, empty, torch.zeros(0, 4))
    torch.testing.assert_close(values, torch.zeros(2, 4))
    assert all((g == 0).all() for g in gradients)
