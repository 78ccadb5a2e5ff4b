"""What holds for every sandbox rule: equal to its slow twin, finite, cheap, blind to order."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.methods.cases import (
    RULES,
    OperatorRecord,
    assert_close,
    batch,
    rule_value_and_gradients,
)

every_rule = pytest.mark.parametrize("name", sorted(RULES))
sizes = {"unlabelled": st.integers(0, 5), "labelled": st.integers(1, 5), "d": st.integers(1, 4)}

EXTREMES = {
    "one class": {"unlabelled": 5, "labelled": 4, "d": 3, "classes": 1},
    "one labelled": {"unlabelled": 5, "labelled": 1, "d": 3},
    "no unlabelled": {"unlabelled": 0, "labelled": 4, "d": 3},
    "one unlabelled": {"unlabelled": 1, "labelled": 4, "d": 3},
    "one of each": {"unlabelled": 1, "labelled": 1, "d": 1},
    "one labelled, no unlabelled": {"unlabelled": 0, "labelled": 1, "d": 2},
}


def compare_with_twin(name, *inputs, tolerance):
    fast, twin = RULES[name]
    assert_close(
        rule_value_and_gradients(fast, *inputs),
        rule_value_and_gradients(twin, *inputs),
        tolerance,
    )


@every_rule
@given(**sizes, classes=st.integers(1, 5), seed=st.integers(0, 10**6))
@settings(max_examples=15, deadline=None)
def test_equals_twin(name, unlabelled, labelled, d, classes, seed):
    compare_with_twin(
        name, *batch(unlabelled, labelled, d, classes=classes, seed=seed), tolerance=1e-9
    )


@every_rule
@pytest.mark.parametrize("scale", [1.0, 1e4])
@pytest.mark.parametrize("extreme", EXTREMES)
def test_equals_twin_on_extreme_batches(name, extreme, scale):
    inputs = batch(**EXTREMES[extreme], scale=scale, seed=7)
    # Logits near 1e9 leave float64 about 1e-7 for what the softmax sees.
    compare_with_twin(name, *inputs, tolerance=1e-9 if scale == 1 else 1e-6)


@every_rule
@given(**sizes, seed=st.integers(0, 10**6))
@settings(max_examples=10, deadline=None)
def test_equals_twin_on_large_encodings(name, unlabelled, labelled, d, seed):
    compare_with_twin(name, *batch(unlabelled, labelled, d, scale=1e4, seed=seed), tolerance=1e-6)


def normal_encodings(U, L):
    return U, L


def after_relu(U, L):
    return U.relu(), L.relu()


def dead_encoder(U, L):
    return torch.zeros_like(U), torch.zeros_like(L)


def one_value(U, L):
    value = torch.cat([U, L]).std().item()
    return torch.full_like(U, value), torch.full_like(L, value)


def images_in_both_pools(U, L):
    both = min(len(U), len(L))
    return torch.cat([L[:both], U[both:]]), L


def one_point(U, L):
    point = torch.cat([U, L])[:1]
    return point.repeat(len(U), 1), point.repeat(len(L), 1)


@every_rule
@pytest.mark.parametrize("scale", [1.0, 1e4])
@pytest.mark.parametrize("extreme", [*EXTREMES, "full batch", "no labelled"])
def test_finite_in_float32(name, extreme, scale):
    shape = {
        **EXTREMES,
        "full batch": {"unlabelled": 400, "labelled": 125},
        "no labelled": {"unlabelled": 5, "labelled": 0},
    }[extreme]
    U, L, targets, probe = batch(**{**shape, "d": 128}, scale=scale, dtype=torch.float32)
    for kind in (
        normal_encodings,
        after_relu,
        dead_encoder,
        one_value,
        images_in_both_pools,
        one_point,
    ):
        results = rule_value_and_gradients(RULES[name][0], *kind(U, L), targets, probe)
        assert all(x.isfinite().all() for x in results), kind.__name__


@every_rule
@pytest.mark.parametrize("seed", range(3))
def test_order_of_images_does_not_matter(name, seed):
    U, L, targets, probe = batch(9, 7, 4, seed=seed)
    generator = torch.Generator().manual_seed(seed)
    of_u, of_l = torch.randperm(9, generator=generator), torch.randperm(7, generator=generator)
    rule = RULES[name][0]
    value, by_u, by_l, *rest = rule_value_and_gradients(rule, U, L, targets, probe)
    shuffled = rule_value_and_gradients(rule, U[of_u], L[of_l], targets[of_l], probe)
    assert_close(shuffled, [value, by_u[of_u], by_l[of_l], *rest])


@every_rule
def test_no_tensor_of_labelled_by_unlabelled_by_features(name):
    U, L, targets, probe = batch(11, 7, 13, classes=3)
    with OperatorRecord() as record:
        rule_value_and_gradients(RULES[name][0], U, L, targets, probe)
    assert record.names
    assert record.largest < 11 * 7 * 13


@every_rule
def test_operator_calls_do_not_grow_with_the_images(name):
    calls = []
    for unlabelled, labelled in [(10, 8), (200, 8), (200, 90)]:
        U, L, targets, probe = batch(unlabelled, labelled, 6)
        targets[:5] = torch.arange(5)  # the same classes each time
        with OperatorRecord() as record:
            rule_value_and_gradients(RULES[name][0], U, L, targets, probe)
        calls.append(record.names)
    assert calls[0] == calls[1] == calls[2]


@every_rule
def test_gradient_reaches_both_encodings(name):
    _, by_u, by_l, *_ = rule_value_and_gradients(RULES[name][0], *batch(6, 5, 4))
    assert by_u.abs().max() > 0
    assert by_l.abs().max() > 0


@pytest.mark.parametrize("name", ["soft_lookup", "meta_reclassify"])
def test_gradient_reaches_the_pseudo_probe(name):
    _, _, _, *by_probe = rule_value_and_gradients(RULES[name][0], *batch(6, 5, 4))
    assert len(by_probe) == 2
    assert all(g.abs().max() > 0 for g in by_probe)
