import numpy as np
import torch
from scipy.optimize import minimize
from tests.reference.slow_propagation import slow_softmax_loss

from lll.methods.features.softmax import fit_softmax, with_ones


def test_each_problem_ends_where_a_slow_solver_ends():
    generator = torch.Generator().manual_seed(0)
    points = with_ones(torch.randn(30, 4, generator=generator))
    targets = torch.rand(2, 30, 3, generator=generator) / 30
    penalties = torch.tensor([0.01, 0.3])
    found = fit_softmax(points, targets, penalties)
    for weights, target, penalty in zip(found, targets, penalties, strict=True):

        def loss(flat, target=target, penalty=penalty):
            at = flat.reshape(5, 3)
            return slow_softmax_loss(at, points.numpy(), target.numpy(), float(penalty))

        slow = minimize(loss, np.zeros(15), tol=1e-10).x.reshape(5, 3)
        np.testing.assert_allclose(weights, slow, atol=2e-3)


def test_a_row_of_zeros_is_left_out():
    points = with_ones(torch.randn(20, 3, generator=torch.Generator().manual_seed(0)))
    targets = torch.eye(2)[torch.arange(20) % 2][None] / 20
    targets[:, 15:] = 0
    penalty = torch.tensor([0.1])
    all_rows = fit_softmax(points, targets, penalty)
    torch.testing.assert_close(
        all_rows, fit_softmax(points[:15], targets[:, :15], penalty), atol=1e-4, rtol=1e-3
    )


def test_points_that_differ_in_few_directions():
    """Of photos that are much alike, components beyond the first few are next to nothing."""
    g = torch.Generator().manual_seed(0)
    few, tiny = torch.randn(8, 8, generator=g), 1e-20 * torch.randn(8, 184, generator=g)
    points = with_ones(torch.cat([few, tiny], dim=1)).repeat(10, 1)
    targets = torch.eye(4)[torch.arange(80) % 4][None] / 80
    found = fit_softmax(points, targets, torch.tensor([0.1]))
    alone = fit_softmax(with_ones(few).repeat(10, 1), targets, torch.tensor([0.1]))
    torch.testing.assert_close(found[:, [*range(8), -1]], alone, atol=2e-3, rtol=1e-2)
