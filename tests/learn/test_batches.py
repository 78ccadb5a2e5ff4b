import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lll.learn.batches import epoch_batches

light = settings(deadline=None, max_examples=120)

SIZES = st.integers(0, 120)
BATCH_SIZES = st.integers(1, 50)
SEEDS = st.integers(0, 2**32)
EPOCHS = st.integers(0, 500)


def pools(l, u):  # noqa: E741
    """Two disjoint pools of positions that are neither sorted ranges nor alike."""
    both = np.random.default_rng(l * 1000 + u).permutation(3 * (l + u))[: l + u].astype(np.intp)
    return np.sort(both[:l]), np.sort(both[l:])


def batches(labelled, unlabelled, batch_size=10, fixed=None, seed=0, epoch=0):
    return epoch_batches(
        labelled,
        unlabelled,
        batch_size=batch_size,
        labelled_batch_size=fixed,
        seed=seed,
        epoch=epoch,
    )


def as_lists(steps):
    return [(step.labelled.tolist(), step.unlabelled.tolist()) for step in steps]


def joined(parts):
    return sorted(i for part in parts for i in part.tolist())


@given(SIZES, SIZES, BATCH_SIZES, SEEDS, EPOCHS)
@light
def test_every_image_of_both_pools_once_an_epoch(l, u, batch_size, seed, epoch):  # noqa: E741
    labelled, unlabelled = pools(l, u)
    steps = batches(labelled, unlabelled, batch_size, None, seed, epoch)
    assert joined(step.labelled for step in steps) == labelled.tolist()
    assert joined(step.unlabelled for step in steps) == unlabelled.tolist()


@given(SIZES, SIZES, BATCH_SIZES)
@light
def test_batches_are_as_few_and_as_even_as_can_be(l, u, batch_size):  # noqa: E741
    steps = batches(*pools(l, u), batch_size)
    assert len(steps) == (l + u + batch_size - 1) // batch_size
    for shares in (
        [len(step.labelled) for step in steps],
        [len(step.unlabelled) for step in steps],
    ):
        assert max(shares, default=0) - min(shares, default=0) <= 1
    for step in steps:
        # Both remainders may fall on one step: one image more than asked for at most.
        size = len(step.labelled) + len(step.unlabelled)
        assert size <= batch_size + 1
        assert size or batch_size == 1


@given(st.integers(1, 120), st.integers(1, 120), BATCH_SIZES)
@light
def test_shares_are_in_proportion_all_through_the_epoch(l, u, batch_size):  # noqa: E741
    # After k of n steps the share k / n of each pool has been seen, to within one image: a
    # pool smaller than the number of steps is spread over them.
    steps = batches(*pools(l, u), batch_size)
    for total, sizes in (
        (l, [len(step.labelled) for step in steps]),
        (u, [len(step.unlabelled) for step in steps]),
    ):
        for k, seen in enumerate(np.cumsum(sizes), start=1):
            assert abs(seen - k * total / len(steps)) < 1


def test_a_pool_smaller_than_the_number_of_steps_is_spread():
    steps = batches(*pools(3, 117), batch_size=10)
    assert len(steps) == 12
    assert [len(step.labelled) for step in steps] == [0, 0, 0, 1] * 3


@given(st.integers(1, 60), SIZES, st.integers(1, 12), st.integers(1, 30), SEEDS, EPOCHS)
@light
def test_fixed_labelled_batch_size(l, u, fixed, rest, seed, epoch):  # noqa: E741
    labelled, unlabelled = pools(l, u)
    steps = batches(labelled, unlabelled, fixed + rest, fixed, seed, epoch)
    assert joined(step.unlabelled for step in steps) == unlabelled.tolist()
    for step in steps:
        assert len(step.labelled) == fixed
        assert np.isin(step.labelled, labelled).all()
        assert len(step.unlabelled) <= rest
    expected = -(-u // rest) if u else -(-l // fixed)
    assert len(steps) == expected


def test_fixed_labelled_batches_are_drawn_evenly_and_with_replacement():
    labelled, unlabelled = pools(10, 1000)
    drawn = [s.labelled for s in batches(labelled, unlabelled, 20, 10)]
    assert any(len(np.unique(part)) < 10 for part in drawn)
    counts = [np.concatenate(drawn).tolist().count(i) for i in labelled.tolist()]
    assert sum(counts) == 1000
    assert min(counts) > 60 and max(counts) < 140  # 100 each, give or take four sigma


@pytest.mark.parametrize("fixed", [None, 4])
def test_empty_pools(fixed):
    labelled, unlabelled = pools(25, 31)
    nothing = np.empty(0, np.intp)
    assert batches(nothing, nothing, 10, fixed) == []
    alone = batches(nothing, unlabelled, 10, fixed)
    assert joined(step.unlabelled for step in alone) == unlabelled.tolist()
    assert [len(step.labelled) for step in alone] == [0] * 4
    alone = batches(labelled, nothing, 10, fixed)
    assert [len(step.unlabelled) for step in alone] == [0] * len(alone)
    assert sum(len(step.labelled) for step in alone) >= 25


@pytest.mark.parametrize("fixed", [None, 4])
@given(l=SIZES, u=SIZES, seed=SEEDS, epoch=EPOCHS)
@light
def test_batches_are_a_pure_function_of_seed_and_epoch(fixed, l, u, seed, epoch):  # noqa: E741
    state = np.random.get_state()[1].copy()  # noqa: NPY002
    first = as_lists(batches(*pools(l, u), 10, fixed, seed, epoch))
    np.random.default_rng().random()
    assert as_lists(batches(*pools(l, u), 10, fixed, seed, epoch)) == first
    assert (np.random.get_state()[1] == state).all()  # noqa: NPY002


@pytest.mark.parametrize("fixed", [None, 4])
def test_other_epochs_and_seeds_give_other_batches(fixed):
    labelled, unlabelled = pools(50, 50)
    drawn = {
        str(as_lists(batches(labelled, unlabelled, 10, fixed, seed, epoch)))
        for seed in range(10)
        for epoch in range(10)
    }
    assert len(drawn) == 100


def test_images_that_share_a_batch_change_between_epochs():
    nothing, unlabelled = pools(0, 100)
    together = [
        {frozenset(step.unlabelled.tolist()) for step in batches(nothing, unlabelled, 10, epoch=e)}
        for e in range(5)
    ]
    assert len(set.union(*together)) == 50


def test_the_pools_are_left_as_they_were():
    labelled, unlabelled = pools(20, 30)
    copies = labelled.copy(), unlabelled.copy()
    for fixed in (None, 4):
        batches(labelled, unlabelled, 10, fixed)
    assert labelled.tolist() == copies[0].tolist()
    assert unlabelled.tolist() == copies[1].tolist()
