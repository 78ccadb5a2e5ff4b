import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import accuracy_score, recall_score

from lll.metrics.accuracy import Accuracy, accuracy

light = settings(deadline=None, max_examples=100)

CLASSES = 5
PAIRS = st.lists(st.tuples(st.integers(0, CLASSES - 1), st.integers(-1, CLASSES - 1)), max_size=60)
REPRESENTED = st.lists(st.integers(0, CLASSES - 1), unique=True)


def arrays(pairs):
    both = np.array(pairs, dtype=np.int64).reshape(-1, 2)
    return both[:, 0], both[:, 1]


def score(predicted, labels, represented=(), classes=CLASSES):
    return accuracy(np.array(predicted, np.int64), np.array(labels, np.int64), represented, classes)


def by_sklearn(predicted, labels, among):
    return accuracy_score(labels[among], predicted[among]) if among.any() else None


@given(PAIRS, REPRESENTED)
@light
def test_accuracy_equals_that_of_sklearn(pairs, represented):
    predicted, labels = arrays(pairs)
    scores = accuracy(predicted, labels, represented, CLASSES)
    seen = np.array([label in represented for label in labels.tolist()], dtype=bool)
    assert scores.all == pytest.approx(by_sklearn(predicted, labels, labels >= 0))
    assert scores.represented == pytest.approx(by_sklearn(predicted, labels, seen))
    assert scores.novel == pytest.approx(by_sklearn(predicted, labels, ~seen & (labels >= 0)))


@given(PAIRS)
@light
def test_accuracy_per_class_is_the_recall(pairs):
    predicted, labels = arrays(pairs)
    scores = accuracy(predicted, labels, [], CLASSES)
    assert len(scores.per_class) == CLASSES
    labelled = labels >= 0
    for c, share in enumerate(scores.per_class):
        if not (labels == c).any():
            assert share is None
            continue
        recall = recall_score(
            labels[labelled], predicted[labelled], labels=[c], average=None, zero_division=0
        )
        assert share == pytest.approx(recall[0])


@given(PAIRS, REPRESENTED, st.integers(0, CLASSES - 1))
@light
def test_unlabelled_images_do_not_count(pairs, represented, guess):
    predicted, labels = arrays(pairs)
    more = np.append(predicted, [guess, -1, guess]), np.append(labels, [-1, -1, -1])
    assert accuracy(*more, represented, CLASSES) == accuracy(
        predicted, labels, represented, CLASSES
    )


def test_by_hand():
    #                      right wrong right wrong  -    right
    scores = score([0, 1, 1, 0, 2, 2], [0, 0, 1, 2, -1, 2], represented=(0, 1), classes=4)
    assert scores == Accuracy(
        all=3 / 5, represented=2 / 3, novel=1 / 2, per_class=(1 / 2, 1.0, 1 / 2, None)
    )


def test_accuracy_is_over_images_and_not_over_classes():
    scores = score([0] * 10, [0] * 9 + [1], represented=(0, 1), classes=2)
    assert scores.all == scores.represented == 0.9


def test_novel_and_represented_share_the_images_out():
    everything = score([0, 0, 1], [0, 1, 1], represented=range(CLASSES))
    assert everything.represented == everything.all == pytest.approx(2 / 3)
    assert everything.novel is None
    nothing = score([0, 0, 1], [0, 1, 1], represented=())
    assert nothing.novel == nothing.all
    assert nothing.represented is None


@pytest.mark.parametrize(("predicted", "labels"), [([], []), ([0, 3], [-1, -1]), ([-1], [-1])])
def test_without_labels_there_is_no_accuracy(predicted, labels):
    assert score(predicted, labels, (0, 1), 2) == Accuracy(None, None, None, (None, None))


def test_shares_are_plain_numbers():
    scores = score([0, 1], [0, 0], (0,))
    assert type(scores.all) is type(scores.represented) is type(scores.per_class[0]) is float
