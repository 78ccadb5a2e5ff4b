"""The gradual benchmark from end to end: what is run, what others may score, what is refused."""

import csv
import json
from collections import Counter

import numpy as np
import pytest
from benchmarks.accuracy import gradual
from benchmarks.accuracy.gradual_events import PROTOCOLS, names_of, read_validation

from lll import UserError, load_data
from lll.labels.events import Replay, read_events

SHORT = ("digits", "--orders", "1", "--epochs", "1", "--set", "width=8", "--set", "device=cpu")


@pytest.fixture(scope="module")
def done(tmp_path_factory):
    """The folder of a short run."""
    out = tmp_path_factory.mktemp("gradual") / "baseline"
    gradual.main([*SHORT, "--method", "baseline", "--out", str(out)])
    return out


def rows_of(path):
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def written(path, rows):
    with path.open("w", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    return path


def scored(path, tmp_path):
    gradual.main([*SHORT, "--score", str(path), "--out", str(tmp_path / "scored")])
    return json.loads((tmp_path / "scored" / "result.json").read_text())


def test_the_validation_images_are_answered_at_every_stage(done):
    rows = rows_of(done / "order0-draw0.csv")
    assert Counter(row["stage"] for row in rows) == {str(stage): 140 for stage in range(6)}
    assert {row["id"] for row in rows} == set(read_validation("digits"))
    content = json.loads((done / "result.json").read_text())
    assert [stage["stage"] for stage in content["stages"]] == list(range(6))
    assert (content["scored"], content["images"], content["method"]) == (
        "validation", 140, "baseline",
    )  # fmt: skip


def test_known_accuracy_is_that_of_the_answers(done):
    rows = [row for row in rows_of(done / "order0-draw0.csv") if row["stage"] == "2"]
    right = [row["answer"] == row["id"][0] for row in rows if int(row["id"][0]) < 7]
    content = json.loads((done / "result.json").read_text())
    assert content["stages"][2]["known"] == pytest.approx(np.mean(right))


def test_a_file_of_others_is_scored_as_ours_in_any_order_of_rows(done, tmp_path):
    rows = rows_of(done / "order0-draw0.csv")
    np.random.default_rng(0).shuffle(rows)
    ours = json.loads((done / "result.json").read_text())
    assert scored(written(tmp_path / "theirs.csv", rows), tmp_path)["stages"] == ours["stages"]


def test_the_truth_scores_one_and_needs_no_probabilities(done, tmp_path):
    rows = [
        {name: row[name] for name in ("order", "draw", "stage", "id")} | {"answer": row["id"][0]}
        for row in rows_of(done / "order0-draw0.csv")
    ]
    found = scored(written(tmp_path / "truth.csv", rows), tmp_path)["summary"]
    assert [found[name]["mean"]["mean"] for name in ("all", "known", "new")] == [1, 1, 1]
    assert found["forgetting"]["mean"]["mean"] == 0
    assert found["ece"]["mean"] is found["auroc"]["mean"] is None


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda rows: rows[1:], r"stage 0: no answer to '\d/\d+': all 140 images"),
        (lambda rows: [rows[0], *rows], "stage 0: an image is answered twice"),
        (lambda rows: rows[140:], "nothing of order 0, draw 0, stage 0"),
        (lambda rows: [{k: r[k] for k in r if k != "answer"} for r in rows], "no column 'answer'"),
        (lambda rows: [{**r, "stage": "first"} for r in rows], "cannot be read"),
    ],
)
def test_predictions_that_are_not_whole_are_refused(done, tmp_path, change, message):
    path = written(tmp_path / "wrong.csv", change(rows_of(done / "order0-draw0.csv")))
    with pytest.raises(UserError, match=message) as error:
        scored(path, tmp_path)
    assert "\n" not in str(error.value)


def test_what_is_there_is_kept_and_other_settings_are_refused(done):
    before = (done / "order0-draw0.csv").stat().st_mtime_ns
    again = [*SHORT, "--method", "baseline", "--out", str(done)]
    gradual.main(again)
    assert (done / "order0-draw0.csv").stat().st_mtime_ns == before
    with pytest.raises(UserError, match="holds predictions of other settings"):
        gradual.main([*again, "--set", "flip=0.1"])


def test_other_data_is_refused(tmp_path):
    np.savez(tmp_path / "two.npz", images=np.zeros((8, 8, 8), np.uint8), labels=[0, 1] * 4)
    with pytest.raises(UserError, match="the benchmark is for cifar10, digits"):
        gradual.main([str(tmp_path / "two.npz"), "--method", "baseline"])


def test_the_event_files_of_lll_train_know_what_the_protocol_says(tmp_path):
    gradual.main(["digits", "--events", str(tmp_path), "--epochs", "3"])
    assert len(list(tmp_path.iterdir())) == 15
    data, protocol = load_data("digits"), PROTOCOLS["digits"]
    events = read_events(tmp_path / "order1-draw2.csv", data.class_names)
    told = Replay.of(data.train.ids, events)
    for stage in range(protocol.stages):
        first, last = told.at(3 * stage), told.at(3 * stage + 2)
        assert first.labelled.tolist() == last.labelled.tolist()
        assert data.train.labels[last.labelled].tolist() == last.targets.tolist()
        ages = [stage - max(0, rank - 4) for rank in range(5 + stage)]
        counts = Counter(last.targets.tolist())
        assert [counts[c] for c in last.classes] == [protocol.by_age[age] for age in ages]
        aside = np.isin(names_of(data.train.labels, data.class_names), read_validation("digits"))
        assert not aside[last.labelled].any()
