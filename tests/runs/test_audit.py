"""Audited labels: what is true lies inside the interval, whoever labels what besides."""

import numpy as np
import pytest
from tests.data.test_own_labels import flat, say
from tests.tiny import tiny_config

from lll import train
from lll.labels.store import Event, open_store, replay
from lll.runs.assess import evaluate
from lll.runs.audit import LEAST, Audited, audited


def history(seed, images=2000, classes=5):
    """Events of a person who labels hard images, and audits at random; the model's accuracy.

    The model mistakes class 1 for class 0 more often than others; in every third history the
    person then says that these two are one.
    """
    rng = np.random.default_rng(seed)
    truth = rng.integers(classes, size=images)
    wrong = rng.random(images) < rng.uniform(0.02, 0.6)
    other = np.where(rng.random(images) < 0.3, 1 - truth, (truth + 1) % classes)
    said = np.where(wrong, np.where(truth < 2, other, (truth + 1) % classes), truth)
    events = [Event("class", class_id=c, name=f"class {c}") for c in range(classes)]

    def labelled(at, **more):
        path = f"{at}.jpg"
        return Event("label", (path,), class_id=int(truth[at]), hashes=("1-a",), **more)

    hard = rng.permutation(np.flatnonzero(wrong))[:50]
    events += [labelled(at) for at in hard]
    drawn = rng.choice(np.setdiff1d(np.arange(images), hard), rng.integers(LEAST, 61), False)
    events += [labelled(at, origin="audit", predicted=int(said[at])) for at in drawn]
    if seed % 3 == 0:
        events.append(Event("merge", class_id=1, into=0))
        truth, said = np.maximum(truth, 1), np.maximum(said, 1)
    pool = np.setdiff1d(np.arange(images), hard)
    order = rng.permutation(len(events) - classes - (seed % 3 == 0)) + classes
    order = [*range(classes), *order.tolist(), *range(len(order) + classes, len(events))]
    numbered = [events[at] for at in order]
    return replay(numbered), float((said == truth)[pool].mean())


def test_the_accuracy_lies_inside_the_interval_in_90_of_100_histories():
    inside = 0
    for seed in range(100):
        state, accuracy = history(seed)
        low, high = audited(state).interval
        inside += low <= accuracy <= high
    assert inside >= 90


def test_an_audit_follows_the_label_and_few_give_no_verdict():
    audit = Event("label", ("a",), class_id=0, hashes=("1-a",), origin="audit", predicted=1)
    events = [Event("class", class_id=c, name=str(c)) for c in (0, 1)]
    assert audited(replay([*events, audit])) == Audited(1, 0)
    corrected = Event("label", ("a",), class_id=1, hashes=("1-a",))
    assert audited(replay([*events, audit, corrected])) == Audited(1, 1)
    assert audited(replay([*events, audit, Event("unlabel", ("a",))])) == Audited(0, 0)
    assert str(Audited(29, 29)) == "29 audited labels: no verdict under 30"
    assert str(Audited(50, 45)) == (
        "90.0% of the last 50 audited labels predicted right (95% interval 78.6% to 95.7%)"
    )


@pytest.fixture
def run(tmp_path):
    folder = flat(tmp_path / "photos", count=6)
    say(folder, {"0.png": "cat", "5.png": "dog"})
    config = tiny_config(data=str(folder), classes="all", labels=1, validation_share=0, epochs=1)
    return train(config, tmp_path / "run", cache=tmp_path / "cache")


def test_evaluate_tells_of_audits(run):
    assert evaluate(run)["audit"] is None
    with open_store(run.config.data, write=True) as store:
        store.append([Event("label", ("1.png",), class_id=0, origin="audit", predicted=0)])
        store.append([Event("label", ("2.png",), class_id=0, origin="audit", predicted=1)])
    audit = evaluate(run)["audit"]
    assert (audit["n"], audit["right"]) == (2, 1)
    assert audit["words"] == "2 audited labels: no verdict under 30"
