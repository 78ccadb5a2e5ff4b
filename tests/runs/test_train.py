"""The loop: what reaches a step, which rates are used, what is recorded, and golden numbers."""

import itertools
import json
import time
from collections import Counter
from dataclasses import replace

import numpy as np
import pytest
import torch
from tests.tiny import STEPPING, tiny_config, tiny_data
from torch import nn

from lll import DataSet, ImageSet, UserError, Watch, load_run, train
from lll.learn.learner import Learner
from lll.learn.prepare import plan_rows, prepare
from lll.metrics.accuracy import accuracy
from lll.runs.predict import encode, load_learner


@pytest.fixture(scope="module")
def gradual(tmp_path_factory):
    return train(tiny_config(), tmp_path_factory.mktemp("gradual"), data=tiny_data())


# A quarter is chance. Frozen colours contrasted for seconds are no easy ground for a probe, and
# three labelled images a step, for sixty steps, are few.
CHANCE_AND_MORE = dict.fromkeys(STEPPING, 0.7) | dict.fromkeys(
    ("self_supervised", "fixmatch", "freematch", "softmatch"), 0.4
)


@pytest.mark.parametrize("method", STEPPING)
def test_every_method_learns_and_says_so(method, tmp_path):
    config = tiny_config(
        method=method, epochs=10, width=16, labels=1 if method == "baseline" else 0.5, classes=4,
        contrastive_rate=0.003, probe_rate=0.03, weak_brightness=0.1, strong_brightness=0.1,
        strong_view="zoom",  # classes are colours, and RandAugment changes these
    )  # fmt: skip
    run = train(config, tmp_path / "run", data=tiny_data(each=60))
    assert run.finished
    result = run.result
    assert (
        result["test_accuracy_final"] == run.metrics[-1]["test_accuracy"] > CHANCE_AND_MORE[method]
    )
    best = max(m["validation_accuracy"] for m in run.metrics)
    assert run.metrics[result["chosen_epoch"]]["validation_accuracy"] == best


def test_the_plan_is_what_happens(gradual):
    for row, metrics in zip(plan_rows(prepare(gradual.config, tiny_data())), gradual.metrics):  # noqa: B905
        for key in ("epoch", "classes", "labels_known", "unlabelled", "probe_rate"):
            assert row[key] == metrics[key]


def test_label_events_are_the_labels_known(gradual):
    events = gradual.label_events()
    labels = dict(zip(*(getattr(tiny_data().train, k).tolist() for k in ("ids", "labels"))))  # noqa: B905
    assert len({e.id for e in events}) == len(events)
    assert {e.origin for e in events} == {"schedule", "validation"}
    assert all(labels[e.id] == e.label for e in events)
    for metrics in gradual.metrics:
        known = Counter(e.origin for e in events if e.epoch <= metrics["epoch"])
        assert known["schedule"] == metrics["labels_known"]
        assert known["validation"] == metrics["labels_to_choose"]


def test_reported_accuracy_is_that_of_the_saved_weights(gradual):
    data = tiny_data()
    learner = load_learner(gradual, checkpoint="latest")
    encoded = encode(learner, torch.from_numpy(data.test.images))
    score = accuracy(encoded.probabilities.argmax(1), data.test.labels, range(4), 4)
    assert score.all == gradual.metrics[-1]["test_accuracy"]


def test_only_revealed_labels_reach_a_step(tmp_path, monkeypatch):
    """Every batch of a run: labels come with revealed images alone, each image once an epoch."""
    data, seen = tiny_data(), []
    step = Learner.step

    def spy(learner, batch):
        seen.append(batch)
        return step(learner, batch)

    monkeypatch.setattr(Learner, "step", spy)
    config = tiny_config()
    train(config, tmp_path / "run", data=data)
    prepared = prepare(config, data)
    truth, index = dict(zip(data.train.ids, data.train.labels, strict=True)), 0
    for epoch in range(config.epochs):
        known = prepared.labels.at(epoch)
        count = -(-(len(known.labelled) + len(known.unlabelled)) // config.batch_size)
        mine, index = seen[index : index + count], index + count
        labelled = torch.cat([batch.labelled.rows for batch in mine])
        targets = torch.cat([batch.targets for batch in mine])
        unlabelled = torch.cat([batch.unlabelled.rows for batch in mine])
        assert sorted(labelled.tolist()) == known.labelled.tolist()
        assert sorted(unlabelled.tolist()) == known.unlabelled.tolist()
        assert [truth[name] for name in prepared.ids[labelled]] == targets.tolist()
        for batch in mine:
            for pool in (batch.labelled, batch.unlabelled):
                images = prepared.train.inputs[pool.rows].permute(0, 3, 1, 2)
                assert torch.equal(pool.inputs, images)
    assert index == len(seen)


@pytest.mark.parametrize("others", ["wrong", "none"])
def test_labels_that_nobody_told_change_no_weight(others, tmp_path):
    """An unlabelled image brings no truth along: only what is in the events is known."""
    data = tiny_data()
    config = tiny_config(labels="0.1:0.5", unlabelled_pool="all", validation_labels="all")
    told = train(config, tmp_path / "told", data=data)
    file = tmp_path / "told" / "labels.csv"
    revealed = [event.id for event in told.label_events()]
    labels = np.where(others == "wrong", (data.train.labels + 1) % 4, -1)
    labels = np.where(np.isin(data.train.ids, revealed), data.train.labels, labels)
    assert 20 < (labels != data.train.labels).sum() < 100
    other = replace(data, train=replace(data.train, labels=labels))
    again = config.model_copy(update={"label_events": str(file)})
    run = train(again, tmp_path / "run", data=other)
    assert (run.path / "labels.csv").read_bytes() == file.read_bytes()
    first, second = (load_learner(r, checkpoint="latest").state_dict() for r in (told, run))
    assert first.keys() == second.keys()
    assert all(torch.equal(first[key], second[key]) for key in first)
    assert [line["validation_accuracy"] for line in run.metrics] == [
        line["validation_accuracy"] for line in told.metrics
    ]


def test_optimizers_use_the_scheduled_rates(tmp_path, monkeypatch):
    used = []
    step = torch.optim.Adam.step

    def spy(self, *args, **kwargs):
        used.append(self.param_groups[0]["lr"])
        return step(self, *args, **kwargs)

    monkeypatch.setattr(torch.optim.Adam, "step", spy)
    run = train(
        tiny_config(contrastive_rate="0.001:0.002:linear", probe_rate="0=0.5,1=0.25"),
        tmp_path / "run",
        data=tiny_data(),
    )
    scheduled = [m[k] for m in run.metrics for k in ("contrastive_rate", "probe_rate")]
    assert scheduled == pytest.approx([0.002, 0.5, 0.0015, 0.25, 0.001, 0.25])
    assert set(used) == set(scheduled)


def test_the_same_run_twice_is_the_same_bytes(tmp_path):
    runs = [train(tiny_config(seed=3), tmp_path / n, data=tiny_data()) for n in "ab"]
    first, second = ((run.path / "metrics.jsonl").read_bytes() for run in runs)
    assert first == second
    other = train(tiny_config(seed=4), tmp_path / "c", data=tiny_data())
    assert (other.path / "metrics.jsonl").read_bytes() != first


def test_finetune_begins_its_second_stage_with_a_new_probe(tmp_path):
    run = train(tiny_config(method="finetune", epochs=4), tmp_path / "run", data=tiny_data())
    assert run.config.options.pretrain_epochs == 2
    assert ["contrast_loss" in m for m in run.metrics] == [True, True, False, False]


def test_finetune_takes_the_encoder_of_another_run(tmp_path):
    source = train(
        tiny_config(method="self_supervised", width=12), tmp_path / "source", data=tiny_data()
    )
    run = train(
        tiny_config(
            method="finetune", from_run=str(source.path), epochs=1, contrastive_rate=0, width=8
        ),
        tmp_path / "run",
        data=tiny_data(),
    )
    # At a rate of 0 the encoder stays what it was, so it must be the source's, width and all.
    theirs, ours = (load_learner(r, checkpoint="latest").parts for r in (source, run))
    for name, value in theirs["encoder"].state_dict().items():
        assert torch.equal(ours["encoder"].state_dict()[name], value)
    assert run.config.width == 12
    assert not torch.equal(ours["probe"].weight, theirs["probe"].weight)


class Mean(nn.Module):
    """An encoder of the caller's own: the mean colour, through one layer."""

    def __init__(self, poison_after: int | None = None):
        super().__init__()
        self.dense = nn.Linear(3, 5)
        self.poison_after, self.calls = poison_after, 0

    def forward(self, images):
        self.calls += self.training
        encodings = self.dense(images.mean(dim=(2, 3)))
        poisoned = self.poison_after is not None and self.calls > self.poison_after
        return encodings * float("nan") if poisoned else encodings


def test_any_module_is_an_encoder(tmp_path):
    run = train(tiny_config(), tmp_path / "run", data=tiny_data(), encoder=Mean())
    assert run.finished
    assert load_learner(run, encoder=Mean()).parts["encoder"].dense.weight.shape == (5, 3)
    with pytest.raises(UserError, match="pass it as encoder="):
        load_learner(run)


def test_a_nan_stops_the_run_names_the_step_and_keeps_the_last_good_checkpoint(tmp_path):
    path = tmp_path / "run"
    good = []
    with pytest.raises(UserError, match=r"loss of step 'contrast' became nan .* epoch 1"):
        train(
            tiny_config(),
            path,
            data=tiny_data(),
            encoder=Mean(poison_after=9),
            watch=Watch(on_epoch=lambda metrics, seconds: good.append(metrics)),
        )
    run = load_run(path)
    assert [m["epoch"] for m in run.metrics] == [0] == [m["epoch"] for m in good]
    learner = load_learner(run, encoder=Mean(), checkpoint="latest")
    assert all(p.isfinite().all() for p in learner.parameters())


def test_no_labels_in_test_or_validation(tmp_path):
    data = tiny_data()
    blind = ImageSet(data.test.images, np.full_like(data.test.labels, -1), data.test.ids)
    data = DataSet(data.name, data.class_names, data.train, blind)
    run = train(tiny_config(validation_share=0), tmp_path / "run", data=data)
    assert run.result["test_accuracy_final"] is None
    assert run.result["chosen_epoch"] is None


def test_label_rates_of_zero_and_one_leave_a_pool_empty(tmp_path):
    for rate in (0, 1):
        run = train(tiny_config(labels=rate), tmp_path / str(rate), data=tiny_data())
        assert run.finished
        assert ("classify_loss" in run.metrics[-1]) == bool(rate)


def test_a_class_may_have_no_label_yet(tmp_path):
    data = tiny_data()
    labels = np.where(data.train.labels == 2, -1, data.train.labels)
    data = replace(data, train=replace(data.train, labels=labels))
    run = train(tiny_config(classes=4, labels=1), tmp_path / "run", data=data)
    assert {event.label for event in run.label_events()} == {0, 1, 3}
    assert run.metrics[-1]["unlabelled"] == 30


def test_metrics_are_plain_json(gradual):
    lines = (gradual.path / "metrics.jsonl").read_text().splitlines()
    assert [json.loads(line)["epoch"] for line in lines] == [0, 1, 2]
    assert not any("NaN" in line for line in lines)


# Mean losses of two epochs of a tiny run, measured once: a faster path must reproduce them.
GOLDEN = {
    "gradual": {"contrast_loss": (3.07232, 3.07194), "classify_loss": (1.41984, 1.39642)},
    "soft_lookup": {
        "contrast_loss": (2.92377, 2.99314),
        "soft_lookup_loss": (1.40923, 1.3985),
        "classify_loss": (1.44408, 1.40356),
    },
    "reclassify_per_class": {
        "contrast_loss": (2.93723, 2.99531),
        "reclassify_per_class_loss": (1.06791, 1.52002),
        "classify_loss": (1.4141, 1.3848),
    },
    "reclassify_weighted": {
        "contrast_loss": (2.94948, 2.94939),
        "reclassify_weighted_loss": (2.1898, 2.15304),
        "classify_loss": (1.453, 1.40939),
    },
    "meta_reclassify": {
        "contrast_loss": (3.01995, 3.0635),
        "meta_reclassify_loss": (3.85186, 1.39393),
        "classify_loss": (1.41048, 1.39914),
    },
    "meta_distance": {
        "contrast_loss": (3.07239, 3.06523),
        "meta_distance_loss": (-1.86175, -1.53),
        "classify_loss": (1.40918, 1.3985),
    },
}


@pytest.mark.parametrize("name", GOLDEN)
def test_golden_numbers(name, tmp_path):
    rule = {} if name == "gradual" else {"method": "sandbox", "rule": name}
    config = tiny_config(epochs=2, classes=4, **rule)
    run = train(config, tmp_path / "run", data=tiny_data())
    for figure, expected in GOLDEN[name].items():
        assert [m[figure] for m in run.metrics] == pytest.approx(expected, rel=1e-2)


def test_a_clock_that_goes_back_takes_no_seconds_away(tmp_path, monkeypatch):
    back = itertools.count(1e9, -7.4)
    for clock in ("time", "perf_counter"):
        monkeypatch.setattr(time, clock, lambda: next(back))
    run = train(tiny_config(epochs=1), tmp_path / "run", data=tiny_data())
    assert all(0 <= value < 60 for value in run.timings[0].values())
