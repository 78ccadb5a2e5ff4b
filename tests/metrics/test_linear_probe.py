import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression
from sklearn.preprocessing import StandardScaler
from tests.metrics.points import blobs

from lll.metrics.linear_probe import linear_probe_accuracy


def test_the_probe_is_a_logistic_regression_on_scaled_encodings():
    (train, labels), (test, test_labels) = blobs(), blobs(seed=1)
    scale = StandardScaler().fit(train)
    model = LogisticRegression(max_iter=1000).fit(scale.transform(train), labels)
    expected = model.score(scale.transform(test), test_labels)
    found = linear_probe_accuracy(train, labels, test, test_labels)
    assert found == expected
    assert 0.5 < found < 1


@pytest.mark.parametrize("size", [1e-6, 1e6])
def test_the_size_of_the_encodings_does_not_matter(size):
    (train, labels), (test, test_labels) = blobs(), blobs(seed=1)
    scale = np.float32(size)
    assert linear_probe_accuracy(train * scale, labels, test * scale, test_labels) == (
        pytest.approx(linear_probe_accuracy(train, labels, test, test_labels), abs=0.01)
    )


def test_dead_features_are_of_no_matter():
    (train, labels), (test, test_labels) = blobs(), blobs(seed=1)
    dead = np.zeros((len(train), 2), np.float32)
    assert linear_probe_accuracy(
        np.hstack([train, dead]), labels, np.hstack([test, dead]), test_labels
    ) == linear_probe_accuracy(train, labels, test, test_labels)


def test_what_is_not_linear_is_not_read():
    rng = np.random.default_rng(0)
    points = rng.normal(0, 1, (800, 2)).astype(np.float32)
    apart = (points[:, 0] * points[:, 1] > 0).astype(np.int64)
    assert linear_probe_accuracy(points[:400], apart[:400], points[400:], apart[400:]) < 0.65
