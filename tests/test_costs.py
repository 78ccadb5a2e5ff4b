"""What a step costs, counted and not timed: operator calls, waits for the device, recordings."""

from collections import Counter
from itertools import pairwise

import numpy as np
import pytest
import torch
from tests.tiny import STEPPING, batch_index, batches_of, tiny_config, tiny_data
from torch.utils._python_dispatch import TorchDispatchMode

from lll import Watch
from lll.learn.batches import epoch_batches
from lll.learn.graphs import Replayed, differing
from lll.learn.loop import learn
from lll.learn.prepare import prepare
from lll.learn.progress import Progress
from lll.methods.sandbox import RULES
from lll.runs.train import begin

# Each hands a value from the device to Python, which waits for all that the device has to do.
WAITS = {
    "aten._local_scalar_dense.default",
    "aten.equal.default",
    "aten.is_nonzero.default",
    "aten.nonzero.default",
    "aten.item.default",
    "aten._unique2.default",
    "aten.masked_select.default",
}


class Counting(TorchDispatchMode):
    """Counts the operators that are called inside, by name."""

    def __init__(self):
        super().__init__()
        self.calls = Counter()

    def __torch_dispatch__(self, function, types, arguments=(), keywords=None):
        self.calls[str(function)] += 1
        return function(*arguments, **(keywords or {}))


def calls_by_step(**given):
    """Operator calls of each minibatch of an epoch, the making of the minibatch included."""
    prepared = prepare(tiny_config(classes=4, labels=0.5, **given), tiny_data(each=60))
    learner, marks = begin(prepared), []
    with Counting() as counting:
        watch = Watch(on_step=lambda *_: marks.append(Counter(counting.calls)))
        next(learn(prepared, learner, Progress(), watch, score=False))
    return [after - before for before, after in pairwise(marks[1:])]


CASES = [(method, None) for method in STEPPING if method != "sandbox"]
CASES += [("sandbox", rule) for rule in RULES if not rule.startswith("reclassify")]


@pytest.mark.parametrize(("method", "rule"), CASES)
def test_no_step_waits_for_the_device(method, rule):
    for calls in calls_by_step(method=method, rule=rule):
        assert not WAITS & calls.keys()


def test_the_count_sees_a_wait():
    with Counting() as counting:
        float(torch.ones(2).sum())
    assert WAITS & counting.calls.keys()


def test_every_step_calls_as_many_operators():
    steps = calls_by_step(method="gradual")
    assert len(steps) > 5
    assert len({calls.total() for calls in steps}) == 1


def test_an_epoch_has_few_shapes_of_minibatch_whatever_the_schedule():
    """So few recordings serve it: each pool is shared out to one image more or less."""
    for labelled, unlabelled in ((1, 900), (7, 13), (500, 501), (0, 640), (999, 1)):
        pools = np.arange(labelled), np.arange(unlabelled)
        cut = epoch_batches(*pools, batch_size=24, labelled_batch_size=None, seed=0, epoch=0)
        assert len({(len(b.labelled), len(b.unlabelled)) for b in cut}) <= 4


# Recording and replaying, with a stand-in for the GPU: the real one is asked by
# `benchmarks/gpu.py`.


class Tape:
    """A CUDA graph as far as the caller sees it: records the work, does it when replayed."""

    work = None  # what the test lets the step under way do
    recorded = 0

    def register_generator_state(self, generator):
        pass

    def capture_begin(self, **settings):
        self.state = [t.clone() for t in Tape.state()]

    def capture_end(self):
        for tensor, value in zip(Tape.state(), self.state, strict=True):
            tensor.copy_(value)  # a recording changes nothing
        self.replayed, Tape.recorded = Tape.work, Tape.recorded + 1

    def replay(self):
        self.replayed()


class Nothing:
    def __init__(self, *_, **__):
        pass

    def __enter__(self):
        return self

    def __exit__(self, *_):
        return None

    def wait_stream(self, other):
        pass


@pytest.fixture
def tape(monkeypatch):
    Tape.recorded = 0
    for name, value in {
        "CUDAGraph": Tape,
        "graph_pool_handle": lambda: None,
        "Stream": Nothing,
        "stream": Nothing,
        "current_stream": lambda *_: Nothing(),
    }.items():
        monkeypatch.setattr(torch.cuda, name, value)
    return Tape


def epoch(prepared, wrap):
    """The trace and weights of one epoch whose minibatches are taken by ``wrap``'s taker."""
    learner, views = begin(prepared), torch.Generator()
    learner.set_rates(prepared.rates(0))
    take = wrap(learner.step, views, learner)
    trace = []
    index = batch_index(prepared, 0)
    for number, batch in enumerate(batches_of(prepared, 0, index, views)):
        views.manual_seed(number)
        trace.append({name: float(value) for name, value in take(batch).items()})
    return trace, list(learner.changing()), take


def replayed(harm=lambda learner: None):
    """A `Replayed` whose tape does the plain work on the minibatch it holds, and then ``harm``."""

    def wrap(take, views, learner):
        def remembered(batch):
            figures = take(batch)

            def again():
                for name, value in take(batch).items():
                    figures[name].copy_(value)
                harm(learner)

            Tape.work = again
            return figures

        Tape.state = learner.changing
        return Replayed(remembered, views, learner.changing)

    return wrap


@pytest.fixture
def prepared():
    return prepare(tiny_config(classes=4, labels=0.5), tiny_data(each=60))


def same(first, second):
    return first[0] == second[0] and all(
        torch.equal(a, b) for a, b in zip(first[1], second[1], strict=True)
    )


def test_replays_give_the_numbers_of_plain_work(tape, prepared):
    plain = epoch(prepared, lambda take, views, learner: take)
    graphs = epoch(prepared, replayed())
    assert graphs[2].reason is None
    assert same(plain, graphs)
    assert 0 < tape.recorded < len(plain[0]) / 2


def test_a_replay_that_differs_is_not_used_and_says_so(tape, prepared, caplog):
    def harm(learner):
        with torch.no_grad():
            learner.parts["encoder"][0].weight.add_(0.1)

    plain = epoch(prepared, lambda take, views, learner: take)
    graphs = epoch(prepared, replayed(harm))
    assert "a replay changed the weights otherwise" in graphs[2].reason
    assert "training goes on without CUDA graphs" in caplog.text
    assert len(caplog.records) == tape.recorded == 1
    assert same(plain, graphs)


def test_work_that_cannot_be_recorded_is_taken_plainly_and_says_so(
    tape, prepared, caplog, monkeypatch
):
    def refuse(self, **settings):
        raise RuntimeError("operation not permitted when stream is capturing")

    monkeypatch.setattr(Tape, "capture_begin", refuse)
    plain = epoch(prepared, lambda take, views, learner: take)
    graphs = epoch(prepared, replayed())
    assert graphs[2].reason == "operation not permitted when stream is capturing"
    assert len(caplog.records) == 1
    assert same(plain, graphs)


def test_a_figure_that_differs_is_named():
    state = [torch.ones(3)]
    moved = [torch.ones(3) + 0.1]
    figures = {"contrast_loss": torch.tensor(1.0)}
    other = {"contrast_loss": torch.tensor(2.0)}
    assert differing(figures, figures, state, moved, moved) is None
    assert "gave contrast_loss 2 for 1" in differing(other, figures, state, moved, moved)
    nan = [torch.full((3,), torch.nan)]
    assert "changed the weights" in differing(figures, figures, state, nan, moved)
