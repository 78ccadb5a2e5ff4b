"""Labels as events: a record that is played again, and files that cannot be read."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from tests.labels.test_oracle import CLASSES, LABELS, ORDERS, POOLS, SEEDS, light, make, plans
from tests.tiny import tiny_config, tiny_data

from lll import UserError, train
from lll.data.imageset import Skipped
from lll.labels.events import LabelEvent, Replay, new_events, read_events
from lll.labels.oracle import Oracle
from lll.learn.prepare import prepare
from lll.words import csv_text

NAMES = ("cat", "dog")


@given(LABELS, ORDERS, SEEDS, plans(), POOLS)
@light
def test_events_played_again_say_what_the_oracle_said(labels, order, seed, rows, pool):
    ids, truth = make(labels)
    oracle = Oracle.of(ids, truth, order, rows, pool, seed)
    events = [event for row in rows for event in new_events(oracle, ids, row.epoch, "schedule", {})]
    replay = Replay.of(ids, events)
    for row in rows:
        told, again = oracle.at(row.epoch), replay.at(row.epoch)
        assert again.labelled.tolist() == told.labelled.tolist()
        assert again.targets.tolist() == told.targets.tolist()
        both = np.concatenate([again.labelled, again.unlabelled])
        assert sorted(both) == list(range(len(ids)))
        assert set(again.classes) == set(told.targets.tolist())


def test_the_record_of_a_run_knows_what_its_oracle_knew(tmp_path):
    config = tiny_config(validation_share=0.2, classes="1:4", epochs=4, class_order="d,b,a,c")
    run = train(config, tmp_path / "run", data=tiny_data())
    events = read_events(run.path / "labels.csv", run.data.class_names)
    assert events == run.label_events()
    prepared = prepare(config, tiny_data())
    for source, ids in (
        (prepared.labels, prepared.ids),
        (prepared.choosing, prepared.validation_ids),
    ):
        replay = Replay.of(ids, events)
        for epoch in range(config.epochs):
            told, again = source.at(epoch), replay.at(epoch)
            assert len(told.labelled)
            assert again.labelled.tolist() == told.labelled.tolist()
            assert again.targets.tolist() == told.targets.tolist()
            assert set(again.classes) == set(told.classes)


def test_classes_come_in_the_order_of_their_first_label():
    events = [LabelEvent("a", 3, 2, "person"), LabelEvent("b", 4, 0, "person")]
    replay = Replay.of(np.array(["a", "b", "c"]), events)
    assert [replay.at(epoch).classes for epoch in range(3)] == [(4,), (4,), (4, 3)]
    assert CLASSES > 4


def test_events_are_read_back_as_they_were_written(tmp_path):
    path = tmp_path / "labels.csv"
    rows = [("id", "label", "epoch", "origin"), ("=1.png", "+5C", 0, "person"), ("b", "a", 12, "")]
    path.write_text(csv_text(rows))
    assert read_events(path, ("a", "+5C")) == [
        LabelEvent("=1.png", 1, 0, "person"),
        LabelEvent("b", 0, 12, "import"),
    ]


def test_a_file_may_leave_out_who_said_it_and_order_its_columns(tmp_path):
    file = tmp_path / "labels.csv"
    file.write_bytes("\ufeffepoch,id,label\r\n3,é,dog\r\n0,b,cat\r\n".encode())
    assert read_events(file, NAMES) == [
        LabelEvent("é", 1, 3, "import"),
        LabelEvent("b", 0, 0, "import"),
    ]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, "cannot be read as CSV"),
        (b"\xff\xfe\x00", "cannot be read as CSV"),
        (b"", "no column 'id'"),
        (b"id,label\na,cat\n", "no column 'epoch': it needs id, label and epoch"),
        (b"id,label,epoch\na,cat,0\nb,dgo,0\n", "line 3: unknown class 'dgo': did you mean 'dog'"),
        (b"id,label,epoch\na,cat,-1\n", "line 2: epoch '-1': write a whole number from 0 up"),
        (b"id,label,epoch\na,cat,1.5\n", "line 2: epoch '1.5'"),
        (b"id,label,epoch\na,cat\n", "line 2: epoch"),
        (b"id,label,epoch\na\n", "line 2: unknown class ''"),
        (b"id,label,epoch\n,cat,0\n", "line 2: .*no id"),
        (b"id,label,epoch\na,cat," + b"9" * 5000, "line 2: .*write a whole number"),
    ],
)
def test_a_file_that_cannot_be_used_is_named(tmp_path, content, message):
    file = tmp_path / "labels.csv"
    if content is not None:
        file.write_bytes(content)
    with pytest.raises(UserError, match=message) as said:
        read_events(file, NAMES)
    assert str(file) in str(said.value)
    assert "\n" not in str(said.value)


def test_events_about_other_images_are_refused(tmp_path):
    file = tmp_path / "labels.csv"
    file.write_text("id,label,epoch\nelsewhere/1,a,0\n")
    with pytest.raises(UserError, match="no event is about a training image of 'tiny'"):
        prepare(tiny_config(label_events=file), tiny_data())


def test_no_label_of_an_image_that_is_not_there_is_lost_in_silence(tmp_path):
    data, file = tiny_data(), tmp_path / "labels.csv"
    name = data.class_names[0]
    rows = [f"{data.train.ids[0]},{name},0", f"{data.test.ids[0]},{name},0"]
    file.write_text("\n".join(["id,label,epoch", *rows]))
    prepare(tiny_config(label_events=file), data)
    file.write_text("\n".join(["id,label,epoch", *rows, f"elsewhere/1,{name},0"]))
    with pytest.raises(UserError, match=r"labels.csv: 'elsewhere/1' \(1 in all\) is no image"):
        prepare(tiny_config(label_events=file), data)
    gone = replace(data, skipped=(Skipped("elsewhere/1", "damaged"),))
    prepare(tiny_config(label_events=file), gone)


def test_a_correction_holds_from_its_own_epoch_on():
    ids = np.array(["a", "b"])
    told = [("a", 0, 0), ("a", 2, 3), ("b", 1, 1)]
    replay = Replay.of(ids, [LabelEvent(*event, "person") for event in told])
    assert [dict(zip(k.labelled, k.targets, strict=True)) for k in map(replay.at, range(4))] == [
        {0: 0}, {0: 0, 1: 1}, {0: 0, 1: 1}, {0: 2, 1: 1},
    ]  # fmt: skip
    assert replay.at(3).classes == (0, 1, 2)
