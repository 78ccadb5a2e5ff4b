"""Query strategies: what each of them must keep, and what makes one better than chance."""

import numpy as np
import pytest

from lll.labels.select import STRATEGIES, Candidates
from lll.labels.select.margin import uncertainty

BLOBS = 6


def blobs(per_blob: int = 30, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Features [n, 12] in well separated groups, and the group of each."""
    rng = np.random.default_rng(seed)
    of = np.repeat(np.arange(BLOBS), per_blob)
    centres = np.eye(BLOBS, 12) * 10 + 20
    return (centres[of] + rng.normal(0, 0.5, (len(of), 12))).astype(np.float16), of


def generator() -> np.random.Generator:
    return np.random.default_rng(3)


def some(n: int = 60, labelled: int = 9, seed: int = 1) -> Candidates:
    rng = np.random.default_rng(seed)
    targets = np.full(n, -1)
    targets[rng.choice(n, labelled, replace=False)] = np.arange(labelled) % 3
    probabilities = rng.dirichlet(np.ones(3), n)
    closed = rng.random(n) < 0.2
    return Candidates(rng.random((n, 8)), targets, probabilities, closed)


@pytest.mark.parametrize("name", STRATEGIES)
@pytest.mark.parametrize("count", [1, 10, 1000])
def test_picks_are_open_distinct_and_as_many_as_asked(name, count):
    candidates = some()
    picked = STRATEGIES[name](candidates, count, generator())
    assert len(set(picked.tolist())) == len(picked) == min(count, len(candidates.open))
    assert set(picked.tolist()) <= set(candidates.open.tolist())
    np.testing.assert_array_equal(picked, STRATEGIES[name](candidates, count, generator()))


@pytest.mark.parametrize("name", STRATEGIES)
@pytest.mark.parametrize("features", [np.zeros((5, 3)), np.full((5, 3), 7.0), np.eye(5, 3) * 6e4])
def test_degenerate_features(name, features):
    nothing_known = Candidates(features, np.full(5, -1))
    assert sorted(STRATEGIES[name](nothing_known, 9, generator())) == [0, 1, 2, 3, 4]
    all_known = Candidates(features, np.zeros(5, int), np.ones((5, 1)))
    assert len(STRATEGIES[name](all_known, 9, generator())) == 0
    one = Candidates(features[:1], np.array([-1]))
    assert STRATEGIES[name](one, 3, generator()).tolist() == [0]


@pytest.mark.parametrize("name", ["auto", "medoids", "typiclust"])
def test_without_labels_each_group_is_asked_about_once(name):
    features, of = blobs()
    picked = STRATEGIES[name](Candidates(features, np.full(len(of), -1)), BLOBS, generator())
    assert sorted(of[picked]) == list(range(BLOBS))


@pytest.mark.parametrize("name", ["medoids", "typiclust"])
def test_groups_with_a_label_wait(name):
    features, of = blobs()
    targets = np.where(of < 3, of, -1) * (np.arange(len(of)) % 30 == 0) - (
        np.arange(len(of)) % 30 != 0
    )
    picked = STRATEGIES[name](Candidates(features, targets), 3, generator())
    assert set(of[picked[:2]]) <= {3, 4, 5}


def test_margin_takes_the_least_sure_and_says_how_sure():
    shares = np.array([[0.5, 0.5, 0], [0.9, 0.1, 0], [0.4, 0.35, 0.25], [1, 0, 0]])
    np.testing.assert_allclose(uncertainty(shares), [1, 0.2, 0.95, 0])
    picked = STRATEGIES["margin"](
        Candidates(np.eye(4), np.array([-1, -1, -1, -1]), shares), 3, generator()
    )
    assert picked.tolist() == [0, 2, 1]


def test_auto_asks_where_the_model_is_unsure_once_there_are_labels_enough():
    features, of = blobs()
    targets = np.where(np.arange(len(of)) % 30 < 5, of, -1)
    shares = np.eye(BLOBS)[of]
    shares[of == 4] = 1 / BLOBS
    picked = STRATEGIES["auto"](Candidates(features, targets, shares), 5, generator())
    assert (of[picked] == 4).all()
