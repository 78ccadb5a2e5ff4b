"""Labels that come or change after a run began do not disown it."""

from collections import Counter
from dataclasses import replace

import numpy as np
import pytest
from tests.tiny import tiny_config, tiny_data

from lll import Watch, load_run, resume, train
from lll.errors import UserError
from lll.learn.prepare import prepare
from lll.runs.assess import evaluate
from lll.runs.train import RunStopped


def relabelled(data, **labels):
    """``data`` with other labels by split."""
    parts = {name: replace(data.parts[name], labels=new) for name, new in labels.items()}
    return replace(data, **parts)


@pytest.fixture
def few():
    """Tiny data of which every second label of a training image is not there."""
    data = tiny_data()
    return relabelled(data, train=np.where(np.arange(120) % 2, data.train.labels, -1))


def stopped(path, data):
    seen = []
    watch = Watch(
        on_epoch=lambda metrics, seconds: seen.append(metrics), should_stop=lambda: len(seen) == 2
    )
    with pytest.raises(RunStopped):
        train(tiny_config(classes=4, labels=0.5, epochs=4), path, data=data, watch=watch)
    return load_run(path)


def test_a_run_goes_on_with_the_labels_of_now(few, tmp_path, caplog):
    before = stopped(tmp_path / "run", few).label_events()
    run = resume(tmp_path / "run", data=tiny_data())
    assert run.finished
    assert "have changed since" in caplog.text
    events = run.label_events()
    assert events[: len(before)] == before  # what was told stays told
    known = {event.id for event in events if event.origin == "schedule"}
    assert len(known) >= run.metrics[-1]["labels_known"] > run.metrics[1]["labels_known"]
    assert max(Counter(event.id for event in events).values()) == 1
    truth = dict(zip(tiny_data().train.ids, tiny_data().train.labels, strict=True))
    assert all(truth[event.id] == event.label for event in events)


def test_a_corrected_label_is_an_event_of_its_own(tmp_path):
    run = stopped(tmp_path / "run", tiny_data())
    told = next(event for event in run.label_events() if event.origin == "schedule")
    data = tiny_data()
    labels = np.where(data.train.ids == told.id, (told.label + 1) % 4, data.train.labels)
    events = resume(run.path, data=relabelled(data, train=labels)).label_events()
    # It may be unknown again under its new class; if it is told, then as what it is now.
    assert {e.label for e in events if e.id == told.id and e != told} <= {(told.label + 1) % 4}


def test_an_image_that_was_trained_on_is_never_tested_with(few, tmp_path):
    run = stopped(tmp_path / "run", few)
    told = run.label_events()
    data = tiny_data()
    # As if the new labels had moved every image to the other side of a share for test.
    swapped = replace(data, train=data.test, test=data.train)
    prepared = prepare(run.config, swapped, told=told)
    assert len(prepared.test.truth) == len(data.train) - len(told)
    by_side = {"schedule": prepared.ids, "validation": prepared.validation_ids}
    for event in told:
        assert event.id in by_side[event.origin]


def test_a_finished_run_is_judged_by_the_labels_of_now(few, tmp_path, caplog):
    run = train(tiny_config(), tmp_path / "run", data=tiny_data())
    wrong = tiny_data()
    wrong = relabelled(wrong, test=(wrong.test.labels + 1) % 4)
    assert evaluate(run, data=wrong)["accuracy"]["all"] < 0.3
    assert "have changed since" in caplog.text


@pytest.mark.parametrize("change", ["pixels", "ids", "classes", "fewer"])
def test_other_images_or_classes_are_refused(change, tmp_path):
    run, data = stopped(tmp_path / "run", tiny_data()), tiny_data()
    ids = np.char.add(data.train.ids, "x")
    other = {
        "pixels": replace(data, train=replace(data.train, images=255 - data.train.images)),
        "ids": replace(data, train=replace(data.train, ids=ids)),
        "classes": replace(data, class_names=("a", "b", "c", "x")),
        "fewer": replace(data, test=data.test.take(np.arange(9))),
    }[change]
    with pytest.raises(UserError, match="its images, ids or classes have changed"):
        resume(run.path, data=other)
