from itertools import permutations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import silhouette_score
from tests.metrics.points import blobs

from lll import UserError
from lll.metrics.clusters import agreement, k_means, matched_accuracy, silhouette


def slow_matched_accuracy(clusters, labels, names):
    """Every naming of clusters by classes is tried."""
    return max(np.mean(np.array(naming)[clusters] == labels) for naming in permutations(names))


PAIRS = st.lists(st.tuples(st.integers(0, 3), st.integers(0, 3)), min_size=1, max_size=40)


@given(PAIRS)
@settings(deadline=None, max_examples=60)
def test_matched_accuracy_is_that_of_the_best_naming(pairs):
    clusters, labels = np.array(pairs).T
    assert matched_accuracy(clusters, labels) == pytest.approx(
        slow_matched_accuracy(clusters, labels, range(4))
    )


def test_matched_accuracy_by_hand():
    #                         named 7      named 3     no name left
    clusters = np.array([5, 5, 5, 0, 0, 2])
    labels = np.array([7, 7, 3, 3, 3, 3])
    assert matched_accuracy(clusters, labels) == 4 / 6


def test_the_same_groups_under_other_names_agree_wholly():
    labels = np.array([0, 0, 1, 1, 1, 2])
    found = agreement(np.array([2, 2, 0, 0, 0, 1]), labels)
    assert (found.nmi, found.ari, found.matched_accuracy) == pytest.approx((1, 1, 1))


def test_independent_groups_do_not_agree():
    found = agreement(np.array([0, 1, 0, 1] * 50), np.array([0, 0, 1, 1] * 50))
    assert found.nmi == pytest.approx(0, abs=1e-9)
    assert abs(found.ari) < 0.02
    assert found.matched_accuracy == 0.5


def test_nmi_and_ari_by_their_definitions():
    clusters, labels = np.array([0, 0, 0, 1, 1, 1]), np.array([0, 0, 1, 1, 2, 2])
    both = np.array([[2, 1, 0], [0, 1, 2]]) / 6
    rows, columns = both.sum(1, keepdims=True), both.sum(0, keepdims=True)

    def entropy(p):
        return -(p[p > 0] * np.log(p[p > 0])).sum()

    mutual = entropy(rows) + entropy(columns) - entropy(both)
    found = agreement(clusters, labels)
    assert found.nmi == pytest.approx(mutual / ((entropy(rows) + entropy(columns)) / 2))
    # Pairs in one group: 2 in both, 6 by clusters, 3 by labels, of 15; by chance 6 * 3 / 15.
    assert found.ari == pytest.approx((2 - 1.2) / ((6 + 3) / 2 - 1.2))


def test_k_means_finds_groups_that_lie_apart_and_repeats():
    points, labels = blobs(spread=0.2)
    found = k_means(points, 4, seed=3)
    assert matched_accuracy(found, labels) == 1
    assert (k_means(points, 4, seed=3) == found).all()
    assert k_means(points, 4, seed=2**63 - 1).max() == 3


def test_fewer_points_than_clusters_are_refused():
    with pytest.raises(
        UserError, match=r"k-means with 10 clusters needs 10 images or more \(found 8\)"
    ):
        k_means(blobs(each=2)[0], 10, seed=0)


def test_collapsed_encodings_have_figures_and_no_silhouette():
    points, labels = np.zeros((12, 3), np.float32), np.arange(12) % 3
    found = k_means(points, 3, seed=0)
    assert agreement(found, labels).nmi == 0
    assert agreement(found, labels).matched_accuracy == 1 / 3
    assert silhouette(points, found, seed=0) is None


def slow_silhouette(points, groups):
    scores = []
    for i, point in enumerate(points):
        distance = np.linalg.norm(points - point, axis=1)
        own = (groups == groups[i]) & (np.arange(len(points)) != i)
        if not own.any():
            scores.append(0.0)
            continue
        a = distance[own].mean()
        b = min(distance[groups == g].mean() for g in set(groups.tolist()) - {int(groups[i])})
        scores.append((b - a) / max(a, b))
    return np.mean(scores)


def test_silhouette_is_as_defined():
    points, labels = blobs(each=8)
    assert silhouette(points, labels, seed=0) == pytest.approx(slow_silhouette(points, labels))
    assert silhouette(points, labels, seed=0) == pytest.approx(silhouette_score(points, labels))


def test_silhouette_of_a_sample_is_near_that_of_all_and_depends_on_the_seed_only():
    points, labels = blobs(each=200)
    whole, part = silhouette(points, labels, 0), silhouette(points, labels, 0, most=300)
    assert part != whole
    assert part == pytest.approx(whole, abs=0.05)
    assert part == silhouette(points, labels, 0, most=300)
    assert part != silhouette(points, labels, 1, most=300)


@pytest.mark.parametrize("groups", [[0, 0, 0], [0, 1, 2]])
def test_silhouette_needs_two_groups_and_one_with_two_points(groups):
    assert silhouette(np.eye(3, dtype=np.float32), np.array(groups), seed=0) is None
