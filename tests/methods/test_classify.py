import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.methods.cases import assert_close, normal, value_and_gradients
from tests.reference import slow_losses as slow

from lll.methods.losses.classify import cross_entropy


@given(n=st.integers(1, 6), c=st.integers(1, 5), seed=st.integers(0, 10**6))
@settings(max_examples=25, deadline=None)
def test_equals_twin(n, c, seed):
    logits = normal(n, c, seed=seed, scale=3, dtype=torch.float64)
    targets = torch.randint(c, (n,), generator=torch.Generator().manual_seed(seed))
    assert_close(
        value_and_gradients(lambda x: cross_entropy(x, targets), logits),
        value_and_gradients(lambda x: slow.cross_entropy(x, targets), logits),
    )


def test_even_logits_give_log_of_classes():
    loss = cross_entropy(torch.zeros(3, 10), torch.tensor([0, 4, 9]))
    assert loss.item() == pytest.approx(math.log(10))


def test_empty_batch_is_zero_with_a_gradient():
    value, gradient = value_and_gradients(
        lambda x: cross_entropy(x, torch.zeros(0, dtype=torch.long)), torch.zeros(0, 4)
    )
    assert value == 0
    assert gradient.shape == (0, 4)


def test_finite_for_huge_logits():
    value, gradient = value_and_gradients(
        lambda x: cross_entropy(x, torch.tensor([1])), torch.tensor([[1e20, -1e20, 0.0]])
    )
    assert value.isfinite()
    assert gradient.isfinite().all()
