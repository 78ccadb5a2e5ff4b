"""Classes named later take the outputs in which their images have gathered."""

from itertools import permutations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from tests.tiny import first_batch, tiny_config, tiny_data

from lll import RunStopped, Watch, resume, train
from lll.learn.feeding import channels_first
from lll.learn.loop import learn
from lll.learn.naming import name_outputs, order_of, say_if_all_named
from lll.learn.prepare import prepare
from lll.learn.progress import Progress
from lll.runs.predict import load_learner
from lll.runs.train import begin


def test_a_class_takes_the_output_of_its_group_by_hand():
    answers = np.array([[0.1, 0.1, 0.1, 0.1, 0.6], [0.7, 0.1, 0.1, 0.0, 0.1]], dtype=np.float32)
    # Class 2 is named. Its rows answer with output 4 on average, but for 0, which is taken.
    assert order_of(answers, np.array([2, 2]), np.array([0, 1])).tolist() == [0, 1, 4, 3, 2]


@given(st.integers(0, 10**6), st.integers(1, 4), st.integers(0, 3), st.integers(0, 2))
def test_orders_keep_what_is_taken_and_are_the_best(seed, named, taken, spare):
    rng = np.random.default_rng(seed)
    k = named + taken + spare
    kinds = rng.permutation(k)
    new, old = kinds[:named], kinds[named : named + taken]
    targets = np.concatenate([new, rng.choice(new, 5)])
    answers = rng.dirichlet(np.ones(k), len(targets)).astype(np.float32)
    order = order_of(answers, targets, old)
    assert sorted(order) == list(range(k))
    assert (order[old] == old).all()
    means = {c: answers[targets == c].mean(axis=0) for c in new}
    free = [c for c in range(k) if c not in old]
    best = max(
        sum(means[c][output] for c, output in zip(new, some, strict=True))
        for some in permutations(free, named)
    )
    assert sum(means[c][order[c]] for c in new) == pytest.approx(best)


@pytest.mark.parametrize("optimizer", ["adam", "sgd"])
def test_an_output_goes_with_its_memory(optimizer):
    prepared = prepare(tiny_config(method="novel", optimizer=optimizer), tiny_data())
    learner = begin(prepared)
    learner.step(first_batch(prepared, 0))
    probe, images = learner.parts["probe"], torch.from_numpy(tiny_data().test.images)
    state = learner.optimizers["probe"].state[probe.weight]
    images = images.permute(0, 3, 1, 2)
    before = learner.logits(images)
    moments = {name: v.clone() for name, v in state.items() if v.dim()}
    learner.exchange(np.array([0, 3, 1, 2]))
    torch.testing.assert_close(learner.logits(images), before[:, [0, 3, 1, 2]])
    assert moments
    for name, value in moments.items():
        assert torch.equal(state[name], value[[0, 3, 1, 2]])


def grouped(seed):
    """A learner that knows two of four classes and has grouped the others for twelve epochs.

    With it the run as prepared, and the epoch at which a third class comes.
    """
    config = tiny_config(
        method="novel", classes="0=2,12=3", labels=0.5, epochs=13, width=16, contrastive_rate=0.003,
        weak_brightness=0.1, strong_brightness=0.1, seed=seed,
    )  # fmt: skip
    prepared = prepare(config, tiny_data(each=40))
    learner = begin(prepared)
    for epoch in learn(prepared, learner, Progress(), Watch(), score=False):
        assert epoch.trouble is None
        if epoch.number == 11:
            break
    return prepared, learner, 12


def share(prepared, learner, epoch):
    """Of the images of the class named at ``epoch``, how many its own output takes in."""
    known = prepared.labels.at(epoch)
    (new,) = set(known.targets) - set(prepared.labels.at(epoch - 1).targets)
    answers = learner.logits(channels_first(prepared.test.inputs[:])).argmax(dim=1).numpy()
    return (answers[prepared.test.truth == new] == new).mean()


def test_a_named_class_begins_with_its_group_wherever_that_was():
    before, after = [], []
    for seed in range(4):
        prepared, learner, epoch = grouped(seed)
        before.append(share(prepared, learner, epoch))
        name_outputs(prepared, learner, epoch)
        after.append(share(prepared, learner, epoch))
        weights = learner.parts["probe"].weight.clone()
        name_outputs(prepared, learner, epoch)
        assert torch.equal(learner.parts["probe"].weight, weights)  # once more changes nothing
    assert min(before) < 0.1  # chance alone puts the group into the output of its class
    assert all(b >= a for a, b in zip(before, after, strict=True))
    assert min(after) > 0.9


def test_no_output_left_for_other_classes_is_said(caplog):
    for classes, method, said in (("all", "novel", 1), ("2:4", "novel", 0), ("all", "gradual", 0)):
        caplog.clear()
        config = tiny_config(method=method, classes=classes, labels=0.5)
        say_if_all_named(prepare(config, tiny_data()))
        assert len(caplog.messages) == said
        assert all("all 4 classes have labels" in message for message in caplog.messages)


@pytest.mark.parametrize("at", [0, 1])
def test_a_run_stopped_where_a_class_is_named_ends_the_same(tmp_path, at):
    config = tiny_config(method="novel", classes="2:4", epochs=4)
    whole = train(config, tmp_path / "whole", data=tiny_data())
    prepared = prepare(config, tiny_data())
    first = next(e for e in range(1, 4) if 2 in prepared.labels.at(e).targets)
    done = []

    def stop():
        return done[-1:] == ["stop"]

    def step(epoch, number, steps):
        if (epoch, number) == ((first - 1, steps) if at == 0 else (first, at)):
            done.append("stop")

    with pytest.raises(RunStopped):
        watch = Watch(on_step=step, should_stop=stop)
        train(config, tmp_path / "parts", data=tiny_data(), watch=watch)
    parted = resume(tmp_path / "parts", data=tiny_data())
    states = (load_learner(r, checkpoint="latest").state_dict() for r in (whole, parted))
    one, other = states
    assert all(torch.equal(one[key], other[key]) for key in one)
