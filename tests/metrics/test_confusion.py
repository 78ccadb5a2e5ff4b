import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import confusion_matrix

from lll.metrics.accuracy import accuracy, confusion

CLASSES = 4
PAIRS = st.lists(st.tuples(st.integers(0, CLASSES - 1), st.integers(-1, CLASSES - 1)), max_size=40)


@given(PAIRS)
@settings(deadline=None, max_examples=60)
def test_confusion_equals_that_of_sklearn_and_holds_the_accuracy(pairs):
    predicted, labels = np.array(pairs, dtype=np.int64).reshape(-1, 2).T
    found = confusion(predicted, labels, CLASSES)
    known = labels >= 0
    if known.any():
        expected = confusion_matrix(labels[known], predicted[known], labels=range(CLASSES))
        assert (found == expected).all()
    assert found.sum() == known.sum()
    scores = accuracy(predicted, labels, range(CLASSES), CLASSES)
    for c, share in enumerate(scores.per_class):
        assert share == (found[c, c] / found[c].sum() if found[c].sum() else None)


def test_rows_are_true_classes_and_columns_predicted_ones():
    found = confusion(np.array([1, 1, 0]), np.array([0, 0, -1]), 2)
    assert found.tolist() == [[0, 2], [0, 0]]
