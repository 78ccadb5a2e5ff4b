import math
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lll.config import RunConfig
from lll.errors import UserError
from lll.labels.oracle import Oracle, order_of_classes
from lll.labels.schedule import RULES, EpochPlan, Schedule, plan_run

light = settings(deadline=None, max_examples=80)

CLASSES = 5
LABELS = st.lists(st.integers(-1, CLASSES - 1), max_size=80)
SEEDS = st.integers(0, 2**32)
ORDERS = st.permutations(range(CLASSES))
POOLS = st.sampled_from(["represented", "all"])
COUNTS = st.integers(0, CLASSES)
SHARES = st.integers(0, 100)  # in hundredths, so that whole numbers can check the floor


def make(labels):
    ids = np.array([f"image/{i}" for i in range(len(labels))], dtype=np.str_)
    return ids, np.array(labels, dtype=np.int64)


def plan(classes, labels, per_class=False, epoch=0):
    return EpochPlan(epoch, classes, labels, per_class, contrastive_rate=1.0, probe_rate=1.0)


def oracle(labels, order, seed, plan, pool="represented"):
    """The oracle of a run with this ``plan``: the rows of its epochs, or the only one."""
    rows = plan if isinstance(plan, list) else [plan]
    return Oracle.of(*make(labels), order, rows, pool, seed)


def known_ids(oracle, ids, epoch):
    known = oracle.at(epoch)
    return {*ids[known.labelled].tolist()}, {*ids[known.unlabelled].tolist()}


@st.composite
def plans(draw):
    """The plan of a whole run, under any rule that climbs."""
    rules = st.sampled_from(["default", *sorted({*RULES} - {"decay"})])
    per_class = draw(st.booleans())
    amounts = st.integers(0, 40) if per_class else st.floats(0, 1)
    classes = sorted(draw(st.tuples(*[st.integers(1, CLASSES)] * 2)))
    labels = sorted(draw(st.tuples(amounts, amounts)))
    return plan_run(
        epochs=draw(st.integers(1, 25)),
        class_count=CLASSES,
        classes=Schedule(*classes, draw(rules)),
        labels=Schedule(*labels, draw(rules), per_class),
        contrastive_rate=Schedule(1, 1),
        probe_rate=Schedule(1, 1),
    )


@given(LABELS, ORDERS, SEEDS, plans(), POOLS)
@light
def test_what_is_known_stays_known(labels, order, seed, rows, pool):
    told = oracle(labels, order, seed, rows, pool)
    epochs = [told.at(epoch) for epoch in range(len(rows))]
    for before, after in pairwise(epochs):
        assert {*before.labelled.tolist()} <= {*after.labelled.tolist()}
        assert after.classes[: len(before.classes)] == before.classes


@given(LABELS, ORDERS, SEEDS, plans(), POOLS, st.data())
@light
def test_known_is_a_pure_function_whatever_the_order_of_rows(labels, order, seed, rows, pool, data):
    ids, labels = make(labels)
    moved = np.array(data.draw(st.permutations(range(len(ids)))), dtype=np.intp)
    first = Oracle.of(ids, labels, order, rows, pool, seed)
    # A run that is resumed asks for a late epoch without having seen the early ones.
    for epoch in reversed(range(len(rows))):
        again = Oracle.of(ids[moved], labels[moved], order, rows, pool, seed)
        expected = known_ids(first, ids, epoch)
        assert known_ids(again, ids[moved], epoch) == expected


@given(LABELS, ORDERS, SEEDS, COUNTS, SHARES)
@light
def test_the_same_share_of_every_represented_class(labels, order, seed, classes, hundredths):
    labels = np.array(labels, dtype=np.int64)
    known = oracle(labels, order, seed, plan(classes, hundredths / 100), "represented").at(0)
    assert known.classes == tuple(order[:classes])
    for rank, label in enumerate(order):
        size = int((labels == label).sum())
        expected = max(1, hundredths * size // 100) if hundredths and size else 0
        if rank >= classes:
            expected = 0
        assert (labels[known.labelled] == label).sum() == expected


@given(LABELS, ORDERS, SEEDS, COUNTS, st.floats(0, 1))
@light
def test_no_share_is_off_by_a_whole_label(labels, order, seed, classes, share):
    labels = np.array(labels, dtype=np.int64)
    known = oracle(labels, order, seed, plan(classes, share), "represented").at(0)
    for label in order[:classes]:
        size = int((labels == label).sum())
        count = int((labels[known.labelled] == label).sum())
        assert count <= size
        assert abs(count - share * size) < 1 or (count == 1 and share > 0)


@given(LABELS, ORDERS, SEEDS, st.sampled_from([1e-300, 1e-12, 0.0001, 0.5, 1.0]), st.booleans())
@light
def test_at_least_one_label_as_soon_as_the_rate_is_above_zero(labels, order, seed, rate, per_class):
    labels = np.array(labels, dtype=np.int64)
    known = oracle(labels, order, seed, plan(CLASSES, rate, per_class), "represented").at(0)
    assert {*labels[known.labelled].tolist()} == {*labels.tolist()} - {-1}


@given(LABELS, ORDERS, SEEDS, COUNTS, SHARES, POOLS)
@light
def test_pools_are_disjoint_and_hold_exactly_what_may_be_seen(
    labels, order, seed, classes, hundredths, pool
):
    labels = np.array(labels, dtype=np.int64)
    known = oracle(labels, order, seed, plan(classes, hundredths / 100), pool).at(0)
    both = np.concatenate([known.labelled, known.unlabelled])
    assert len(np.unique(both)) == len(both)
    seen = np.isin(labels, [*order[:classes], -1]) if pool == "represented" else labels > -2
    assert np.sort(both).tolist() == np.flatnonzero(seen).tolist()
    assert known.targets.tolist() == labels[known.labelled].tolist()
    assert {*known.targets.tolist()} <= {*order[:classes]}
    for part in (known.labelled, known.unlabelled):
        assert part.tolist() == sorted(part.tolist())
        assert part.dtype == np.intp


@given(LABELS, ORDERS, SEEDS, plans())
@light
def test_the_pool_does_not_change_which_labels_are_known(labels, order, seed, rows):
    one, other = (oracle(labels, order, seed, rows, pool) for pool in ("represented", "all"))
    for epoch in range(len(rows)):
        assert one.at(epoch).labelled.tolist() == other.at(epoch).labelled.tolist()


@given(LABELS, ORDERS, SEEDS, st.integers(0, 50))
@light
def test_budgets_per_class(labels, order, seed, budget):
    labels = np.array(labels, dtype=np.int64)
    known = oracle(labels, order, seed, plan(CLASSES, float(budget), True), "all").at(0)
    for label in order:
        members = int((labels == label).sum())
        assert (labels[known.labelled] == label).sum() == min(budget, members)


@given(LABELS, ORDERS, SEEDS, SHARES)
@light
def test_a_class_reveals_the_same_labels_whatever_the_other_classes(
    labels, order, seed, hundredths
):
    alone = [0 if label == 0 else -1 for label in labels]
    at = plan(CLASSES, hundredths / 100)
    together = oracle(labels, order, seed, at).at(0).labelled
    by_itself = oracle(alone, order, seed, at).at(0).labelled
    assert by_itself.tolist() == [i for i in together.tolist() if labels[i] == 0]


def test_rate_zero_knows_nothing_and_rate_one_everything():
    told = oracle([0, 1, 1, 2, -1, 4, 4], range(CLASSES), 0, [plan(5, 0.0), plan(5, 1.0)])
    assert told.at(0).labelled.tolist() == []
    assert told.at(0).unlabelled.tolist() == [0, 1, 2, 3, 4, 5, 6]
    assert told.at(1).labelled.tolist() == [0, 1, 2, 3, 5, 6]
    assert told.at(1).targets.tolist() == [0, 1, 1, 2, 4, 4]
    assert told.at(1).unlabelled.tolist() == [4]


def test_classes_come_in_their_order():
    labels, order = [0, 1, 2, -1, 3], (2, 0, 3, 1)
    known = oracle(labels, order, 0, plan(2, 1.0)).at(0)
    assert known.classes == (2, 0)
    assert known.labelled.tolist() == [0, 2]
    assert known.targets.tolist() == [0, 2]
    assert known.unlabelled.tolist() == [3]
    assert oracle(labels, order, 0, plan(2, 1.0), "all").at(0).unlabelled.tolist() == [1, 3, 4]


def test_rounding_does_not_lose_a_label():
    # 0.29 * 100 is 28.999999999999996 in floating point.
    assert len(oracle([0] * 100, [0], 0, plan(1, 0.29)).at(0).labelled) == 29


def test_seeds_reveal_other_labels_and_not_the_first_rows():
    at = plan(1, 0.3)
    chosen = [tuple(oracle([0] * 100, [0], s, at).at(0).labelled) for s in range(20)]
    assert len({*chosen}) == 20
    # Every image has its turn, as often as any other: 20 draws of 30 in 100 miss one image
    # with a chance of 0.0008.
    assert len({i for draw in chosen for i in draw}) > 95
    assert 40 < np.mean(chosen) < 59


# The order of classes.

NAMES = ("cat", "dog", "eel", "fox")


def test_order_of_the_data():
    assert order_of_classes("data", NAMES, 0) == order_of_classes("data", NAMES, 1) == (0, 1, 2, 3)


@given(st.integers(0, 30), SEEDS)
@light
def test_shuffle_is_seeded_and_holds_every_class_once(count, seed):
    names = [str(i) for i in range(count)]
    order = order_of_classes("shuffle", names, seed)
    assert sorted(order) == list(range(count))
    assert order == order_of_classes("shuffle", names, seed)


def test_shuffles_of_other_seeds_differ():
    orders = {order_of_classes("shuffle", NAMES, seed) for seed in range(400)}
    assert len(orders) == math.factorial(4)


@pytest.mark.parametrize(
    "order", ["fox,cat,eel,dog", " fox , cat,eel ,dog", ("fox", "cat", "eel", "dog")]
)
def test_a_list_of_names_is_the_order(order):
    assert order_of_classes(order, NAMES, 0) == (3, 0, 2, 1)


def test_names_with_commas_and_names_that_look_equal():
    names = ("salt, fine", "cafe\u0301", "pepper")
    order = ["caf\u00e9", "salt, fine", "pepper"]
    assert order_of_classes(order, names, 0) == (1, 0, 2)
    assert RunConfig(data="x", class_order=order).class_order == tuple(order)
    flag = '["caf\u00e9", "salt, fine", "pepper"]'
    assert order_of_classes(RunConfig(data="x", class_order=flag).class_order, names, 0) == (
        1,
        0,
        2,
    )
    with pytest.raises(UserError, match=r"no class 'salt': .*, as a list: \[\"a, b\", \"c\"\]"):
        order_of_classes("café,salt, fine,pepper", names, 0)


@pytest.mark.parametrize(
    ("order", "message"),
    [
        ("fox,cat,eel,cow", r"class_order.*'cow'.*cat, dog, eel, fox"),
        ("fox,cat,eel", r"class_order.*each of cat, dog, eel, fox once"),
        ("fox,cat,eel,dog,dog", r"class_order.*once"),
        ("fox,cat,eel,eel", r"class_order.*once"),
        (["fox"], r"class_order.*once"),
        ("", r"class_order.*''"),
        ("shufle", r"class_order.*'shufle'"),
    ],
)
def test_a_bad_list_of_names(order, message):
    with pytest.raises(UserError, match=message) as caught:
        order_of_classes(order, NAMES, 0)
    assert "\n" not in str(caught.value)
