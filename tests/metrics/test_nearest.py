"""The nearest known points by angle, against one pair at a time."""

import numpy as np

from lll.metrics import nearest as module
from lll.metrics.nearest import nearest


def test_it_is_the_order_of_the_cosines(monkeypatch):
    monkeypatch.setattr(module, "CHUNK", 3)
    rng = np.random.default_rng(0)
    points, known = (rng.normal(size=(n, 4)).astype(np.float32) for n in (8, 6))
    at, cosines = nearest(points, known, 5)
    for point, row, found in zip(points, at, cosines, strict=True):
        angles = [p @ point / np.linalg.norm(p) / np.linalg.norm(point) for p in known]
        assert row.tolist() == np.argsort(angles)[::-1][:5].tolist()
        np.testing.assert_allclose(found, np.sort(angles)[::-1][:5], rtol=1e-5)


def test_equal_points_come_in_order_and_zero_is_near_nothing():
    known = np.array([[0, 0], [2, 0], [1, 0]], np.float32)
    at, cosines = nearest(np.array([[3, 0], [0, 0]], np.float32), known, 9)
    assert at.tolist() == [[1, 2, 0], [0, 1, 2]]
    assert cosines.tolist() == [[1, 1, 0], [0, 0, 0]]
    assert nearest(np.empty((0, 2), np.float32), known, 2)[0].shape == (0, 2)
