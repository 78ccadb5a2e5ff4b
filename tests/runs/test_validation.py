"""Labels that choose an epoch are revealed and counted like those that train."""

from collections import Counter

import numpy as np
import pytest
import torch
from tests.processes import in_process
from tests.tiny import tiny_config, tiny_data

from lll import load_run, train
from lll.cli.show import labels_used
from lll.learn.prepare import prepare
from lll.runs.predict import load_learner


@pytest.mark.parametrize(
    ("given", "to_train", "to_choose"),
    [
        # Of 30 images of each of 4 classes 6 are set aside: a quarter of the 24 that train.
        ({"labels": "4/class"}, 16, 4),
        ({"labels": "8/class"}, 32, 8),
        ({"labels": "2/class"}, 8, 4),  # one of each class at least
        ({"labels": 0.5}, 48, 12),
        ({"labels": 0}, 0, 0),
        ({"labels": 1}, 96, 24),
        ({"labels": "4/class", "validation_labels": "all"}, 16, 24),
        ({"labels": 0.5, "classes": 2}, 24, 6),
        ({"labels": 0.5, "classes": 2, "validation_labels": "all"}, 24, 24),
        ({"labels": "4/class", "validation_share": 0}, 16, 0),
    ],
)
def test_labels_to_choose_are_counted(given, to_train, to_choose):
    config = tiny_config(**({"classes": 4, "validation_share": 0.2} | given))
    prepared = prepare(config, tiny_data())
    last = config.epochs - 1
    events = [event for epoch in range(last + 1) for event in prepared.new_events(epoch)]
    counted = Counter(event.origin for event in events)
    assert (counted["schedule"], counted["validation"]) == (to_train, to_choose)
    assert len(prepared.validation.truth) == to_choose
    assert len({event.id for event in events}) == len(events)


def test_no_label_is_scored_that_is_not_counted(tmp_path):
    """The result says how many were used, and validation stands on those alone."""
    config = tiny_config(labels="4/class", classes=4, validation_share=0.2)
    data = tiny_data()
    run = train(config, tmp_path / "run", data=data)
    assert (run.result["labels_known"], run.result["labels_to_choose"]) == (16, 4)
    assert labels_used(run.result) == "16 to train, 4 to choose"
    scores = np.array([metrics["validation_accuracy"] for metrics in run.metrics])
    assert np.isin(scores, np.arange(5) / 4).all()


def test_without_validation_the_final_epoch_is_used(tmp_path):
    config = tiny_config(labels="4/class", classes=4, validation_share=0)
    run = train(config, tmp_path / "run", data=tiny_data())
    assert (run.result["chosen_epoch"], run.result["test_accuracy_chosen"]) == (None, None)
    assert (run.result["labels_known"], run.result["labels_to_choose"]) == (16, 0)
    chosen, latest = (load_learner(run, checkpoint=name) for name in ("chosen", "latest"))
    for one, other in zip(chosen.parameters(), latest.parameters(), strict=True):
        assert torch.equal(one, other)
    said = in_process("resume", run.path, "--quiet").out
    assert "labels used: 16 to train\n" in said
    assert "after the final epoch" in said
    assert "chosen" not in said


def test_the_old_way_says_that_it_used_more_labels(tmp_path):
    config = tiny_config(labels="4/class", classes=4, validation_share=0.2, validation_labels="all")
    run = train(config, tmp_path / "run", data=tiny_data())
    assert load_run(run.path).result["labels_to_choose"] == 24
    assert labels_used(run.result) == "16 to train, 24 to choose"
