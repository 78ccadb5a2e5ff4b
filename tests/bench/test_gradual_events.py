"""The events of the gradual benchmark keep the protocol; its files are what the script makes."""

import gzip
from collections import Counter
from itertools import product

import numpy as np
import pytest
from benchmarks.accuracy.gradual_events import (
    FOLDER,
    PROTOCOLS,
    class_order,
    names_of,
    read_events,
    read_validation,
    texts_of,
)

from lll import load_data

NAMES = list(PROTOCOLS)


@pytest.fixture(scope="module", params=NAMES)
def benchmark(request):
    return request.param, PROTOCOLS[request.param], read_events(request.param)


def parts_of(protocol, events):
    """The events of each order and draw."""
    parts = {key: [] for key in product(range(protocol.orders), range(protocol.draws))}
    for event in events:
        parts[event.order, event.draw].append(event)
    return parts


def test_labels_of_a_class_are_as_many_as_its_age_says(benchmark):
    _, protocol, events = benchmark
    for (order, _), mine in parts_of(protocol, events).items():
        come = [protocol.classes[label] for label in class_order(protocol, order)]
        for stage in range(protocol.stages):
            counts = Counter(event.label for event in mine if event.stage <= stage)
            there = come[: 5 + stage]
            ages = [stage - max(0, rank - 4) for rank in range(len(there))]
            assert counts == {
                name: protocol.by_age[age] for name, age in zip(there, ages, strict=True)
            }


def test_an_image_is_labelled_once_and_keeps_its_class(benchmark):
    _, protocol, events = benchmark
    for mine in parts_of(protocol, events).values():
        assert len({event.id for event in mine}) == len(mine)
        assert all(event.id.startswith(f"{event.label}/") for event in mine)
        assert [event.stage for event in mine] == sorted(event.stage for event in mine)


def test_validation_is_balanced_and_never_labelled(benchmark):
    name, protocol, events = benchmark
    aside = read_validation(name)
    counts = Counter(each.partition("/")[0] for each in aside)
    assert counts == dict.fromkeys(protocol.classes, protocol.aside)
    assert not set(aside) & {event.id for event in events}


def test_orders_and_draws_differ_and_draws_do_not_hang_on_the_order(benchmark):
    _, protocol, events = benchmark
    orders = {tuple(class_order(protocol, order)) for order in range(protocol.orders)}
    assert len(orders) == protocol.orders
    parts = parts_of(protocol, events)
    # The labels that both orders reach of a class are the same images.
    for draw in range(protocol.draws):
        for name in protocol.classes:
            lists = [
                [event.id for event in parts[order, draw] if event.label == name]
                for order in range(protocol.orders)
            ]
            longest = max(lists, key=len)
            assert all(some == longest[: len(some)] for some in lists)
    first, second = ({event.id for event in parts[0, draw]} for draw in (0, 1))
    assert first != second


@pytest.mark.parametrize("name", NAMES)
def test_the_files_are_what_the_script_makes(name):
    for end, text in texts_of(PROTOCOLS[name]).items():
        with gzip.open(FOLDER / f"{name}-{end}.csv.gz", "rt", encoding="utf-8") as file:
            assert file.read() == text


def test_ids_are_places_in_the_data():
    names = names_of(np.array([1, 0, 1, -1, 0]), ("cat", "dog"))
    assert names.tolist() == ["dog/0000", "cat/0000", "dog/0001", "", "cat/0001"]
    data = load_data("digits")
    assert data.class_names == PROTOCOLS["digits"].classes
    names = names_of(data.train.labels, data.class_names)
    assert len(set(names.tolist())) == len(data.train)
    assert {event.id for event in read_events("digits")} <= set(names.tolist())
