"""The map on which neighbours stay together, and what is said where it cannot be drawn."""

import time

import numpy as np
import pytest
from tests.processes import ROOT

from lll.label.neighbours import AbsentError, neighbours_stay


def groups(n=60):
    rng = np.random.default_rng(0)
    points = np.eye(3, 8)[np.arange(n) % 3] * 4 + rng.normal(size=(n, 8))
    return (points / np.linalg.norm(points, axis=1, keepdims=True)).astype(np.float32)


@pytest.mark.slow
def test_groups_stay_apart_and_the_seed_decides():
    points, of = groups(), np.arange(60) % 3
    found = neighbours_stay(points, 3, lambda: False)
    assert found.shape == (60, 2)
    centres = np.stack([found[of == c].mean(axis=0) for c in range(3)])
    nearest = np.linalg.norm(found[:, None] - centres, axis=2).argmin(axis=1)
    assert (nearest == of).mean() > 0.9
    np.testing.assert_array_equal(found, neighbours_stay(points, 3, lambda: False))


def test_without_umap_learn_it_says_so(tmp_path, monkeypatch):
    (tmp_path / "umap.py").write_text("raise ModuleNotFoundError('umap', name='umap')\n")
    monkeypatch.setenv("PYTHONPATH", f"{tmp_path}:{ROOT / 'src'}")
    with pytest.raises(AbsentError):
        neighbours_stay(groups(), 0, lambda: False)


def test_what_fails_there_fails_here(tmp_path, monkeypatch):
    (tmp_path / "umap.py").write_text("raise RuntimeError('broken')\n")
    monkeypatch.setenv("PYTHONPATH", f"{tmp_path}:{ROOT / 'src'}")
    with pytest.raises(OSError, match="exit status 1"):
        neighbours_stay(groups(), 0, lambda: False)


def test_it_ends_when_photos_come():
    begun = time.perf_counter()
    assert neighbours_stay(groups(), 0, lambda: True) is None
    assert time.perf_counter() - begun < 30
