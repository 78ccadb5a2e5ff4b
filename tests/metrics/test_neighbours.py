import numpy as np
import pytest
from sklearn.neighbors import KNeighborsClassifier
from tests.metrics.points import blobs

from lll import UserError
from lll.metrics.neighbours import neighbour_accuracy


@pytest.mark.parametrize("classes", [2, 4, 9])
def test_neighbours_score_as_those_of_sklearn(classes):
    train, test = blobs(classes=classes), blobs(classes=classes, seed=1)
    ks = (1, 5, 8, 20)
    found = neighbour_accuracy(*train, *test, ks)
    for k in ks:
        assert found[k] == KNeighborsClassifier(k).fit(*train).score(*test)
    assert 0.5 < found[20] < 1


def test_by_hand():
    # On a line: class 1 at 0 and 1, class 0 at 10, 11 and 12.
    train = np.array([[0], [1], [10], [11], [12]], np.float32)
    labels = np.array([1, 1, 0, 0, 0])
    test, test_labels = np.array([[0.4], [10.2]], np.float32), np.array([1, 0])
    found = neighbour_accuracy(train, labels, test, test_labels, (1, 3, 4, 5))
    # Of all five, three vote for 0; of the four nearest to 0.4 two do, and a tie goes to 0.
    assert found == {1: 1.0, 3: 1.0, 4: 0.5, 5: 0.5}


def test_fewer_points_than_neighbours_are_refused():
    with pytest.raises(UserError, match=r"needs 20 labelled training images \(found 8\)"):
        neighbour_accuracy(*blobs(each=2), *blobs(each=2), (5, 20))
