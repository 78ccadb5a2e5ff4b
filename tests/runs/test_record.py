"""The run folder: begun, extended, cut back and read again."""

import json
import os
import tempfile
from pathlib import Path

import pytest

from lll.config import RunConfig
from lll.data.facts import DataFacts
from lll.errors import UserError
from lll.labels.events import LabelEvent
from lll.learn.position import Position
from lll.runs import load_run
from lll.runs.folder import append_epoch, create_run, cut_back
from lll.runs.record import (
    check_same_config,
    chosen_epoch,
)

FACTS = DataFacts("pets", ("cat", "a dog, big"), 10, 2, 4, "c0ffee")
CONFIG = RunConfig(data="pets", epochs=3, width=8)
FILES = ["checkpoints", "config.toml", "data.json", "labels.csv", "metrics.jsonl", "timings.jsonl"]


def metrics_of(epoch, validation=0.5, **more):
    """A line of metrics with what the record itself reads, and figures that are hard to write."""
    return {
        "epoch": epoch,
        "classes": 2,
        "labels_known": epoch + 1,
        "labels_to_choose": epoch,
        "unlabelled": 9 - epoch,
        "contrastive_rate": 0.1 + 0.2 * epoch,
        "probe_rate": 5e-324,
        "some_loss": 1e300,
        "taken": ["logistic", 0.5, None],
        "validation_accuracy": validation,
        "test_accuracy": 0.25 * epoch,
        "test_accuracy_represented": 1,
        "test_accuracy_novel": None,
        "test_accuracy_per_class": [None, 1 / 3],
    } | more


def event(epoch, name=""):
    return LabelEvent(name or f"train/{epoch}", epoch % 2, epoch, "schedule")


@pytest.fixture
def run(tmp_path):
    return create_run(tmp_path / "run", CONFIG, FACTS, overwrite=False)


@pytest.fixture
def three(run):
    """A run with three epochs on record."""
    for epoch in range(3):
        append_epoch(run, metrics_of(epoch), {"seconds": epoch + 0.5}, [event(epoch)])
    return load_run(run.path)


def save_latest(run, name):
    (run.path / "checkpoints" / "latest").write_text(f"{name}\n")


def test_a_new_run_is_empty_and_reads_back(run):
    assert sorted(p.name for p in run.path.iterdir()) == FILES
    assert (run.config, run.data, run.metrics, run.timings) == (CONFIG, FACTS, (), ())
    assert run.label_events() == []
    assert not run.finished
    assert (run.latest, run.chosen_epoch) == (None, None)
    with pytest.raises(UserError, match=r"no epoch is finished yet: go on with `lll resume`"):
        _ = run.result


def test_epochs_read_back_to_the_last_digit(three):
    assert three.metrics == tuple(metrics_of(epoch) for epoch in range(3))
    assert three.timings == tuple({"epoch": e, "seconds": e + 0.5} for e in range(3))
    assert three.label_events() == [event(epoch) for epoch in range(3)]


def test_odd_ids_and_class_names_read_back(run):
    names = ["a,b.png", 'quo"te', "new\nline", "ümlaut/猫.png", " space "]
    events = [LabelEvent(name, 1, 0, "person") for name in names]
    append_epoch(run, metrics_of(0), {"seconds": 1.0}, events)
    assert run.label_events() == events
    assert cut_back(run, 1).label_events() == events


@pytest.mark.parametrize(
    ("latest", "epochs", "finished"),
    [("epoch-0003", 3, True), ("epoch-0002", 3, False), (None, 3, False), ("epoch-0003", 2, False)],
)
def test_finished_is_recorded_and_saved(run, latest, epochs, finished):
    """A run that died between its last metrics and its last checkpoint has more to do."""
    for epoch in range(epochs):
        append_epoch(run, metrics_of(epoch), {"seconds": 1.0}, [])
    if latest:
        save_latest(run, latest)
    again = load_run(run.path)
    assert (again.latest, again.finished) == (latest, finished)
    assert again.result["finished"] is finished


def test_the_result_is_of_the_final_and_the_chosen_epoch(run):
    for epoch, validation in enumerate((0.5, 0.75, 0.5)):
        append_epoch(run, metrics_of(epoch, validation), {"seconds": 2.0 * epoch}, [])
    save_latest(run, "epoch-0003")
    assert load_run(run.path).result == {
        "epochs": 3,
        "finished": True,
        "test_accuracy_final": 0.5,
        "chosen_epoch": 1,
        "test_accuracy_chosen": 0.25,
        "labels_known": 3,
        "labels_to_choose": 2,
        "seconds_per_epoch": 2.0,
        "run": str(run.path),
    }


@pytest.mark.parametrize(
    ("validation", "chosen"),
    [
        ([], None),
        ([None, None], None),
        ([0.5], 0),
        ([0.5, 0.5, 0.5], 2),
        ([0.1, 0.9, 0.9, 0.2], 2),
        ([None, 0.0, 0.0], 2),
        ([0.9, 0.1, 1.0], 2),
    ],
)
def test_the_last_of_the_best_epochs_is_chosen(validation, chosen):
    assert chosen_epoch(metrics_of(e, v) for e, v in enumerate(validation)) == chosen


# --- half-written ends ------------------------------------------------------------------------


@pytest.mark.parametrize("cut", range(1, 23, 3))
@pytest.mark.parametrize("name", ["metrics.jsonl", "timings.jsonl", "labels.csv"])
def test_a_half_written_end_costs_one_epoch(three, name, cut):
    path = three.path / name
    whole = {
        n: (three.path / n).read_bytes() for n in FILES if n[-1] in "lv" and n != "config.toml"
    }
    path.write_bytes(whole[name][:-cut])
    kept = cut_back(load_run(three.path), 2)
    assert len(kept.metrics) == len(kept.timings) == len(kept.label_events()) == 2
    append_epoch(kept, metrics_of(2), {"seconds": 2.5}, [event(2)])
    assert {n: (three.path / n).read_bytes() for n in whole} == whole


def test_half_a_letter_at_the_end(run):
    append_epoch(run, metrics_of(0), {"seconds": 1.0}, [event(0, "猫.png")])
    append_epoch(run, metrics_of(1), {"seconds": 1.0}, [event(1, "猫.png")])
    path = run.path / "labels.csv"
    text = path.read_bytes()
    path.write_bytes(text[: text.rindex("猫".encode()) + 2])
    assert cut_back(run, 1).label_events() == [event(0, "猫.png")]


@pytest.mark.parametrize("epochs", [0, 1, 2, 3])
def test_cut_back_keeps_the_first_epochs(three, epochs):
    for _ in range(2):  # the second time there is nothing to cut
        kept = cut_back(three, epochs)
        assert kept.metrics == three.metrics[:epochs]
        assert kept.timings == three.timings[:epochs]
        assert kept.label_events() == [event(epoch) for epoch in range(epochs)]


def test_cut_back_of_a_whole_record_changes_no_byte(three):
    before = {p.name: p.read_bytes() for p in three.path.iterdir() if p.is_file()}
    cut_back(three, 3)
    assert {p.name: p.read_bytes() for p in three.path.iterdir() if p.is_file()} == before


def test_cut_back_removes_temporary_files(three):
    for name in (".metrics.jsonl.123.tmp", ".begun.tmp"):
        (three.path / name).write_text("half")
    cut_back(three, 3)
    assert sorted(p.name for p in three.path.iterdir()) == FILES


# --- beginning --------------------------------------------------------------------------------


def test_a_run_is_replaced_only_when_asked(three):
    with pytest.raises(UserError, match=r"exists already: .*lll resume .*or give --overwrite"):
        create_run(three.path, CONFIG, FACTS, overwrite=False)
    assert load_run(three.path) == three
    (three.path / "pictures" / "deep").mkdir(parents=True)
    (three.path / "pictures" / "deep" / "a.png").write_text("x")
    new = create_run(three.path, CONFIG, FACTS, overwrite=True)
    assert new.metrics == ()
    assert sorted(p.name for p in three.path.iterdir()) == FILES


def test_overwriting_follows_no_link(three, tmp_path):
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "precious.txt").write_text("x")
    (three.path / "pictures").symlink_to(outside)
    create_run(three.path, CONFIG, FACTS, overwrite=True)
    assert (outside / "precious.txt").is_file()
    assert not (three.path / "pictures").exists()


@pytest.mark.parametrize("overwrite", [False, True])
def test_anything_else_is_left_alone(tmp_path, overwrite):
    (tmp_path / "note.txt").write_text("x")
    for path in (tmp_path, tmp_path / "note.txt", tmp_path / "note.txt" / "below"):
        with pytest.raises(
            UserError, match=r"exists already|is not a run folder|cannot be written"
        ):
            create_run(path, CONFIG, FACTS, overwrite=overwrite)
    assert [p.name for p in tmp_path.iterdir()] == ["note.txt"]


def test_a_run_begins_in_an_empty_or_a_deep_folder(tmp_path):
    (tmp_path / "empty").mkdir()
    for name in ("empty", "a/b/c"):
        assert create_run(tmp_path / name, CONFIG, FACTS, overwrite=False).metrics == ()


@pytest.mark.parametrize("latest", [None, "epoch-0000"])
def test_a_run_that_never_trained_is_in_nobodys_way(run, latest):
    """What a training that ended before its first epoch has left."""
    if latest:
        save_latest(run, latest)
        (run.path / "checkpoints" / latest).mkdir()
    (run.path / "tensorboard").mkdir()
    other = CONFIG.model_copy(update={"seed": 7})
    assert create_run(run.path, other, FACTS, overwrite=False).config == other
    assert sorted(p.name for p in run.path.iterdir()) == FILES


@pytest.mark.parametrize("what", ["metrics", "latest", "note"])
def test_a_run_with_something_to_lose_is_in_the_way(run, what):
    if what == "metrics":
        append_epoch(run, metrics_of(0), {"seconds": 1.0}, [])
    elif what == "latest":
        save_latest(run, "epoch-0000-step-0003")
    else:
        (run.path / "note.txt").write_text("mine")
    before = {p: p.is_file() and p.read_bytes() for p in run.path.rglob("*")}
    with pytest.raises(UserError, match="exists already"):
        create_run(run.path, CONFIG, FACTS, overwrite=False)
    assert {p: p.is_file() and p.read_bytes() for p in run.path.rglob("*")} == before


@pytest.mark.parametrize("overwrite", [False, True])
def test_what_a_kill_left_of_a_beginning_is_begun_anew(run, overwrite):
    (run.path / "config.toml").rename(run.path / ".config.toml.12.tmp")
    (run.path / ".begun.tmp").touch()
    assert create_run(run.path, CONFIG, FACTS, overwrite=overwrite).metrics == ()
    assert sorted(p.name for p in run.path.iterdir()) == FILES


def test_a_folder_that_may_not_be_written_is_named():
    """Also for root, who drops the right for a moment."""
    is_root = os.geteuid() == 0
    with tempfile.TemporaryDirectory() as name:
        Path(name).chmod(0o555)
        if is_root:
            os.seteuid(65534)
        try:
            with pytest.raises(UserError, match=rf"{name}/run: cannot be written \(Permission"):
                create_run(Path(name) / "run", CONFIG, FACTS, overwrite=False)
        finally:
            if is_root:
                os.seteuid(0)
            Path(name).chmod(0o755)


# --- reading ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("config.toml", None, "no run folder here"),
        ("config.toml", "data = ", r"config\.toml: .*not readable as TOML"),
        ("config.toml", "data = 'x'\nwdth = 3", r"config\.toml: unknown key 'wdth': .*'width'"),
        ("config.toml", "data = 'x'\nwidth = 0", r"config\.toml: width: .*given 0"),
        ("data.json", None, r"data\.json: not readable"),
        ("data.json", "{", r"data\.json: not readable"),
        ("data.json", "[]", r"data\.json: not readable"),
        ("data.json", '{"class_names": []}', r"data\.json: not readable"),
        ("metrics.jsonl", None, r"metrics\.jsonl: not readable"),
        ("timings.jsonl", None, r"timings\.jsonl: not readable"),
    ],
)
def test_a_run_that_cannot_be_read_names_the_file(three, name, content, message):
    path = three.path / name
    path.unlink() if content is None else path.write_text(content)
    with pytest.raises(UserError, match=message) as error:
        load_run(three.path)
    assert str(three.path) in str(error.value)
    assert "\n" not in str(error.value)


LINES = [json.dumps(metrics_of(epoch)) for epoch in range(3)]
BAD_LINES = {
    "one epoch twice": ([LINES[0], LINES[1], LINES[1], LINES[2]], r"line 3 is of epoch 1, not 2"),
    "two processes": ([*LINES, *LINES], r"line 4 is of epoch 0, not 3; did two processes"),
    "an epoch left out": ([LINES[0], LINES[2]], r"line 2 is of epoch 2, not 1"),
    "damage in the middle": ([LINES[0], LINES[1][:-9], LINES[2]], r"line 2: invalid JSON"),
    "damage at the end": ([LINES[0], "?"], r"line 2: invalid JSON"),
    "a list": (["[]"], r"line 1: .*object"),
    "text for a number": ([json.dumps(metrics_of(0, "0.5"))], r"line 1: validation_accuracy: "),
    "true for a number": ([json.dumps(metrics_of(0, labels_known=True))], r"labels_known: "),
    "no accuracy": ([LINES[0].replace('"test_acc', '"acc')], r"test_accuracy: .*required"),
    "over all": ([json.dumps(metrics_of(0, test_accuracy=1.5))], r"test_accuracy: .*less than"),
    "no number": ([json.dumps(metrics_of(0, float("nan")))], r"validation_accuracy: .*finite"),
    "no finite loss": ([json.dumps(metrics_of(0, some_loss=float("inf")))], r"some_loss"),
    "a word for a loss": ([json.dumps(metrics_of(0, some_loss="small"))], r"some_loss"),
    "another class": ([json.dumps(metrics_of(0, test_accuracy_per_class=[1]))], r"not of the 2 cl"),
    "many digits": ([json.dumps(metrics_of(0)).replace("0.5", "9" * 5000)], r"line 1: "),
}


@pytest.mark.parametrize("fault", BAD_LINES)
def test_a_record_that_is_wrong_is_refused(three, fault):
    lines, message = BAD_LINES[fault]
    (three.path / "metrics.jsonl").write_text("\n".join([*lines, ""]))
    with pytest.raises(UserError, match=rf"metrics\.jsonl: .*{message}.*restore") as error:
        load_run(three.path)
    assert len(str(error.value)) < 300


HEAD = "id,label,epoch,origin\n"
BAD_LABELS = {
    "no head": ("", "first row"),
    "another head": ("id,label,epoch\n", "first row"),
    "three cells": (HEAD + "a,cat,0\nb,cat,0,schedule\n", "row 2: not an id"),
    "no id": (HEAD + ",cat,0,schedule\n", "row 2: not an id"),
    "an unknown class": (HEAD + "a,cow,0,schedule\n", r"row 2: no class 'cow' in data\.json"),
    "no number": (HEAD + "a,cat,x,schedule\n", "row 2: epoch 'x'"),
    "below zero": (HEAD + "a,cat,-1,schedule\n", "row 2: epoch '-1'"),
    "beyond the run": (HEAD + "a,cat,3,schedule\n", "row 2: epoch '3' is not from 0 to 2"),
    "back again": (HEAD + "a,cat,1,schedule\nb,cat,0,schedule\n", "row 3: epoch '0'"),
    "another script": (HEAD + "a,cat,٣,schedule\n", "row 2: epoch '٣'"),
    "a huge cell": (HEAD + "a" * 200_000 + ",cat,0,schedule\n", "field larger"),
}


@pytest.mark.parametrize("fault", BAD_LABELS)
def test_labels_that_are_wrong_are_refused(three, fault):
    content, message = BAD_LABELS[fault]
    path = three.path / "labels.csv"
    path.write_text(content)
    for read in (three.label_events, lambda: cut_back(three, 3)):
        with pytest.raises(UserError, match=rf"labels\.csv: .*{message}.*restore"):
            read()
    assert path.read_text() == content


BAD_FACTS = {
    "class_names": ([], ["a", "a"], ["a", 1], "ab", None),
    "train": (-1, "10", 1.5, None, True, 10**30),
    "fingerprint": (7, None),
    "more": (1,),
}


@pytest.mark.parametrize("name", BAD_FACTS)
def test_facts_that_are_wrong_are_refused(run, name):
    path = run.path / "data.json"
    facts = json.loads(path.read_text())
    for value in BAD_FACTS[name]:
        path.write_text(json.dumps(facts | {name: value}))
        with pytest.raises(UserError, match=rf"data\.json: not readable \({name}"):
            load_run(run.path)


def test_a_line_that_could_not_be_read_again_is_not_written(run):
    with pytest.raises(ValueError, match="some_loss"):
        append_epoch(run, metrics_of(0, some_loss=float("nan")), {"seconds": 1.0}, [])
    assert load_run(run.path) == run


def test_names_that_are_no_text_read_back(run):
    name = os.fsdecode(b"caf\xe9.png")
    append_epoch(run, metrics_of(0), {"seconds": 1.0}, [event(0, name)])
    assert b"caf\xe9.png" in (run.path / "labels.csv").read_bytes()
    assert cut_back(run, 1).label_events() == [event(0, name)]


def test_labels_that_are_missing_are_named(three):
    (three.path / "labels.csv").unlink()
    with pytest.raises(UserError, match=r"labels\.csv: not readable"):
        cut_back(three, 3)


def test_the_configuration_is_that_of_the_checkpoint(run):
    saved = json.loads(json.dumps(CONFIG.to_dict()))
    check_same_config(run, saved)
    check_same_config(run, saved | {"device": "cuda:1"})  # a run may move to another device
    with pytest.raises(UserError, match=r"config\.toml: width is 8, but .* made with 9"):
        check_same_config(run, saved | {"width": 9})
    with pytest.raises(UserError, match=r"direction is None, but .* made with 'attract'"):
        check_same_config(run, saved | {"method": "sandbox"})


def test_a_position_is_its_checkpoints_name():
    assert [str(Position(*p)) for p in ((0,), (3, 0), (3, 12))] == [
        "epoch-0000",
        "epoch-0003",
        "epoch-0003-step-0012",
    ]
