"""Simulated worlds hold what they say they do."""

import numpy as np
import pytest
from benchmarks.accuracy.worlds import FACTORS, HALF, deal

TRUTH = np.repeat(np.arange(6), 300)


def counts(world):
    """Rows of each class of ``world``, known ones first."""
    return np.bincount(world.inside(TRUTH[world.rows]), minlength=len(world.classes))


@pytest.mark.parametrize("kind", FACTORS)
@pytest.mark.parametrize("labels", [HALF, 10])
def test_labels_are_of_known_classes_and_never_more_than_half(kind, labels):
    world = deal(TRUTH, kind, 2, 3, labels, 90, (0, 1))
    place = world.inside(TRUTH[world.rows])
    given = world.targets >= 0
    assert (world.targets[given] == place[given]).all()
    assert (np.diff(world.rows) > 0).all()
    for number in range(2):
        mine, known = counts(world)[number], (world.targets == number).sum()
        assert 1 <= known <= max(mine // 2, 1)
        assert known == (max(mine // 2, 1) if labels == HALF else min(labels, max(mine // 2, 1)))


@pytest.mark.parametrize(
    ("kind", "sizes"),
    [
        ("frequent", [90] * 5),
        ("rare", [90, 90, 9, 9, 9]),
        ("absent", [90, 90, 0, 0, 0]),
        ("smaller", [90, 90, 30, 30, 30]),
        ("larger", [30, 30, 90, 90, 90]),
    ],
)
def test_sizes_are_those_of_the_kind(kind, sizes):
    assert counts(deal(TRUTH, kind, 2, 3, 10, 90, (0, 1))).tolist() == sizes


def test_a_tail_is_dealt_to_classes_at_random():
    dealt = [tuple(counts(deal(TRUTH, "tail", 2, 3, 10, 200, (0, draw)))) for draw in range(6)]
    assert len(set(dealt)) > 1
    assert all(sorted(one) == sorted(dealt[0]) for one in dealt)
    assert max(dealt[0]) == 50 * min(dealt[0])


def test_more_labels_change_neither_classes_nor_rows():
    few, many = (deal(TRUTH, "rare", 2, 3, labels, 90, (3, 4)) for labels in (4, 40))
    assert (few.rows == many.rows).all()
    assert (few.classes == many.classes).all()
    assert ((few.targets < 0) | (few.targets == many.targets)).all()
