import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from lll.labels.splits import set_aside

LABELS = st.lists(st.integers(-1, 4), max_size=120)
SHARES = st.floats(0, 1)
SEEDS = st.integers(0, 2**32)


def make(labels):
    ids = np.array([f"image/{i}" for i in range(len(labels))], dtype=np.str_)
    return ids, np.array(labels, dtype=np.int64)


@given(LABELS, SHARES, SEEDS)
def test_share_is_kept_in_every_class_and_no_class_is_dropped(labels, share, seed):
    ids, labels = make(labels)
    aside = set_aside(ids, labels, share, seed, "validation")
    for label in set(labels.tolist()) - {-1}:
        members = labels == label
        count = int((aside & members).sum())
        assert count < members.sum()
        assert abs(count - share * members.sum()) <= 0.5 or count == members.sum() - 1


@given(LABELS, SHARES, SEEDS)
def test_unlabelled_images_are_never_set_aside(labels, share, seed):
    ids, labels = make(labels)
    assert not set_aside(ids, labels, share, seed, "validation")[labels == -1].any()


@given(LABELS, SHARES, SEEDS, st.randoms(use_true_random=False))
def test_choice_does_not_depend_on_the_order_of_rows(labels, share, seed, random):
    ids, labels = make(labels)
    order = list(range(len(labels)))
    random.shuffle(order)
    chosen = set(ids[set_aside(ids, labels, share, seed, "validation")])
    again = set_aside(ids[order], labels[order], share, seed, "validation")
    assert set(ids[order][again]) == chosen


@given(LABELS, SHARES, SEEDS)
def test_choice_in_a_class_does_not_depend_on_the_other_classes(labels, share, seed):
    ids, labels = make(labels)
    whole = set_aside(ids, labels, share, seed, "validation")
    alone = np.where(labels == 0, 0, -1)
    np.testing.assert_array_equal(
        set_aside(ids, alone, share, seed, "validation"), whole & (labels == 0)
    )


@given(LABELS, SEEDS)
def test_a_larger_share_holds_the_smaller(labels, seed):
    ids, labels = make(labels)
    small, large = (set_aside(ids, labels, share, seed, "test") for share in (0.2, 0.6))
    assert not (small & ~large).any()


def test_seed_and_name_choose_other_images():
    ids, labels = make([0] * 200)
    first = set_aside(ids, labels, 0.5, 0, "test")
    assert (first == set_aside(ids, labels, 0.5, 0, "test")).all()
    assert (first != set_aside(ids, labels, 0.5, 1, "test")).any()
    assert (first != set_aside(ids, labels, 0.5, 0, "validation")).any()
