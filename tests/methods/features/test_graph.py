import numpy as np
import pytest
import torch
from tests.reference.slow_propagation import slow_graph, slow_spread

from lll.methods.features.graph import nearest, neighbour_graph, spread, top


def points(n=40, d=6, seed=0):
    return torch.randn(n, d, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("k", [1, 4, 100])
def test_the_graph_and_its_slow_twin(k):
    found = neighbour_graph(points(), k).toarray()
    expected = slow_graph(points().numpy().astype(float), k)
    np.testing.assert_allclose(found, expected, atol=1e-5)


def test_propagation_and_its_slow_twin():
    graph = neighbour_graph(points(), 4)
    seeds = np.zeros((40, 3), np.float32)
    seeds[[0, 5, 9], [0, 1, 2]] = 1
    expected = slow_spread(graph.toarray(), seeds, 0.9, 7)
    np.testing.assert_allclose(spread(graph, seeds, 0.9, 7), expected, atol=1e-5)


@pytest.mark.parametrize("columns", [3, 500, 1000, 1023])
def test_the_largest_are_found_by_groups(columns):
    values = torch.randn(20, columns, generator=torch.Generator().manual_seed(columns))
    found, at = top(values, 3)
    assert torch.equal(found, values.topk(3, dim=1).values)
    assert torch.equal(values.gather(1, at), found)


def test_five_nearest_labelled_images():
    known = points(30)
    cosines, rows = nearest(known[:4] * 7, known)
    assert rows[:, 0].tolist() == [0, 1, 2, 3]  # the length of a query is of no matter
    torch.testing.assert_close(cosines[:, 0], torch.ones(4))
    assert rows.shape == (4, 5)
    assert bool((cosines.diff(dim=1) <= 0).all())
    assert nearest(known[:4], known[:2])[1].shape == (4, 2)


def test_duplicates_make_no_loop_and_no_nan():
    graph = neighbour_graph(torch.ones(30, 4), 5).toarray()
    assert np.isfinite(graph).all()
    assert not graph.diagonal().any()
