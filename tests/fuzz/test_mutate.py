"""The damage itself: by seed, of every kind, and an end in every case."""

import random

from tests.fuzz.mutate import EDITS, mutate, mutate_tree, read_or_refused

from lll.errors import UserError


def test_damage_goes_by_the_seed_and_changes_nearly_always():
    data = b'{"epochs": 20, "names": ["a", "b"]}' + bytes(range(256))
    made = [mutate(data, random.Random(seed)) for seed in range(200)]
    assert made == [mutate(data, random.Random(seed)) for seed in range(200)]
    assert sum(damaged != data for damaged in made) > 190


def test_every_edit_takes_any_bytes():
    for edit in EDITS:
        for data in (b"", b"\0", b"a", b"some 12 words"):
            for seed in range(20):
                assert isinstance(edit(data, random.Random(seed)), bytes)


def test_damage_to_values_leaves_the_original_alone():
    tree = {"a": [1, {"b": (2, 3)}], "c": "d"}
    made = [mutate_tree(tree, random.Random(seed)) for seed in range(100)]
    assert tree == {"a": [1, {"b": (2, 3)}], "c": "d"}
    assert sum(repr(damaged) != repr(tree) for damaged in made) > 90


def test_what_a_reader_may_answer():
    def refuse():
        raise UserError("x.png is damaged: fetch it again")

    assert read_or_refused(lambda: 1) is None
    assert "damaged" in str(read_or_refused(refuse))
