import math

import pytest
import torch
from tests.methods.cases import assert_close, batch, value_and_gradients

from lll.errors import UserError
from lll.methods.sandbox.reclassify import reclassify_per_class, reclassify_weighted

each_similarity = pytest.mark.parametrize("similarity", ["dot", "inverse_distance"])


@each_similarity
@pytest.mark.parametrize("seed", range(5))
def test_weighted_is_the_weighted_sum_of_the_classes(similarity, seed):
    U, L, targets, _ = batch(8, 9, 4, seed=seed)
    counts = torch.unique(targets, return_counts=True)[1].double()

    def by_hand(U, L):
        return (counts / len(L) * reclassify_per_class(U, L, targets, similarity)).sum()

    assert_close(
        value_and_gradients(lambda U, L: reclassify_weighted(U, L, targets, similarity), U, L),
        value_and_gradients(by_hand, U, L),
    )


@each_similarity
def test_one_loss_per_class_in_increasing_order(similarity):
    U, L, _, _ = batch(8, 4, 3)
    targets = torch.tensor([7, 2, 7, 4])
    losses = reclassify_per_class(U, L, targets, similarity)
    assert losses.shape == (3,)
    # The names of the classes play no part but for their order.
    renamed = torch.tensor([2, 0, 2, 1])
    torch.testing.assert_close(reclassify_per_class(U, L, renamed, similarity), losses)
    reversed_order = torch.tensor([0, 2, 0, 1])
    torch.testing.assert_close(
        reclassify_per_class(U, L, reversed_order, similarity), losses.flip(0)
    )


@each_similarity
def test_no_unlabelled_image_leaves_every_class_equally_likely(similarity):
    U, L, _, _ = batch(0, 5, 3)
    losses = reclassify_per_class(U, L, torch.tensor([0, 0, 1, 2, 3]), similarity)
    torch.testing.assert_close(losses, torch.full((4,), math.log(4), dtype=torch.float64))


@each_similarity
def test_one_class_has_nothing_to_learn(similarity):
    U, L, _, _ = batch(6, 5, 3)
    targets = torch.full((5,), 3)
    results = value_and_gradients(
        lambda U, L: reclassify_per_class(U, L, targets, similarity), U, L
    )
    assert all((x == 0).all() for x in results)


@each_similarity
def test_no_labelled_image(similarity):
    U, L, targets, _ = batch(6, 0, 3)
    assert reclassify_per_class(U, L, targets, similarity).shape == (0,)
    assert reclassify_weighted(U, L, targets, similarity) == 0


@each_similarity
def test_unlabelled_points_near_their_labelled_points_lower_the_loss(similarity):
    L = torch.tensor([[1.0, 0.0], [0.0, 1.0]])
    targets = torch.tensor([0, 1])
    dense = reclassify_weighted(L.repeat(3, 1), L, targets, similarity)
    between = reclassify_weighted(torch.full((6, 2), 0.5), L, targets, similarity)
    assert dense < between


@pytest.mark.parametrize("rule", [reclassify_per_class, reclassify_weighted])
def test_unknown_similarity_is_named(rule):
    U, L, targets, _ = batch(3, 3, 2)
    with pytest.raises(UserError, match="did you mean 'inverse_distance'"):
        rule(U, L, targets, "inverse_distanse")
