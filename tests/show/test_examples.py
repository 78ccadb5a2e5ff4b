import numpy as np

from lll.show.plots.examples import Mistake, mistakes_of, most_confident

LABELS = np.array([0, 0, 0, 0, 1, -1])
PROBABILITIES = np.array(
    [
        [0.9, 0.1, 0.0],
        [0.1, 0.7, 0.2],
        [0.0, 0.8, 0.2],
        [0.0, 0.4, 0.6],
        [0.05, 0.95, 0.0],
        [1.0, 0.0, 0.0],
    ],
    dtype=np.float32,
)


def test_most_confident_right_and_wrong():
    assert most_confident(PROBABILITIES, LABELS, right=True, count=5).tolist() == [4, 0]
    assert most_confident(PROBABILITIES, LABELS, right=False, count=2).tolist() == [2, 1]


def test_what_a_class_is_mistaken_for():
    assert mistakes_of(0, PROBABILITIES, LABELS, 3) == [Mistake(1, 2, 2), Mistake(2, 1, 3)]
    assert mistakes_of(0, PROBABILITIES, LABELS, 1) == [Mistake(1, 2, 2)]
    assert mistakes_of(1, PROBABILITIES, LABELS, 3) == []
    assert mistakes_of(2, PROBABILITIES, LABELS, 3) == []
