"""FixMatch, FreeMatch and SoftMatch against slow twins, over ten steps; and their teacher."""

import copy

import pytest
import torch
from tests.methods.cases import assert_close
from tests.reference import slow_consistency as slow
from tests.tiny import first_batch, tiny_config, tiny_data
from torch import nn

from lll import RunConfig, RunStopped, Watch, resume, train
from lll.learn.learner import Learner, build_learner
from lll.learn.prepare import prepare
from lll.methods import METHODS
from lll.methods.batch import Batch, Pool
from lll.methods.consistency import Shares
from lll.methods.freematch import fairness
from lll.nets import weights_from
from lll.nets.average import Average
from lll.runs.predict import load_learner
from lll.runs.train import begin
from lll.views.features import FeatureViews

CLASSES, LABELLED, UNLABELLED = 4, 5, 9

RUNNING = {"momentum": 0.4, "alignment": 0.6}
TWINS = {
    "fixmatch": (slow.FixMatch, RUNNING | {"threshold": 0.5}),
    "freematch": (slow.FreeMatch, RUNNING | {"fairness": 0.3}),
    "softmatch": (slow.SoftMatch, RUNNING | {"sigmas": 1.5}),
}
every = pytest.mark.parametrize("method", TWINS)


class Given:
    """Views that are given: the weak one of a row is the row, the strong one another."""

    def __init__(self, other):
        self.other = other

    def weak(self, inputs, rows, total, mine):
        return inputs

    def strong(self, inputs, rows, total, mine):
        return self.other[rows]


def minibatch(step, unlabelled=UNLABELLED):
    """Inputs that are logits, sharper with every step, so that some guesses are sure."""
    draw = torch.Generator().manual_seed(step)
    shape = 2, LABELLED + unlabelled, CLASSES
    weak, strong = torch.randn(shape, generator=draw, dtype=torch.float64) * (1 + step / 3)
    weak[:, 0] += 1  # guesses of one class are more frequent
    rows, views = torch.arange(LABELLED + unlabelled), Given(strong)
    labelled, others = (
        Pool(weak[part], rows[part], (len(rows[part]),), views)
        for part in (slice(LABELLED), slice(LABELLED, None))
    )
    return Batch(labelled, torch.randint(CLASSES, (LABELLED,), generator=draw), others)


def ready(method, options):
    """Parts whose encoder is the identity and whose probe is a matrix; the method's step."""
    config = RunConfig(data="x", method=method, encoder="custom", **options)
    learner = build_learner(
        config.model_copy(update={"image_size": 1}),
        CLASSES,
        device=torch.device("cpu"),
        encoder=nn.Sequential(nn.Flatten(), nn.LazyLinear(CLASSES)),
    )
    nets = {**learner.parts, "encoder": nn.Identity(), "probe": matrix()}
    nets = {name: part.double() for name, part in nets.items()}
    return nets, learner.stages[0][0], config.options


def matrix():
    probe = nn.Linear(CLASSES, CLASSES, bias=False)
    with torch.no_grad():
        probe.weight.copy_(torch.eye(CLASSES) + 0.1)
    return probe


@every
def test_ten_steps_equal_the_twin_values_and_gradients(method):
    kind, options = TWINS[method]
    nets, step, chosen = ready(method, options)
    twin, weight = kind(CLASSES, **options), nets["probe"].weight
    trusted = []
    for number in range(10):
        batch = minibatch(number)
        found = step.run(nets, batch, chosen)
        other = weight.detach().clone().requires_grad_()
        weak = (batch.unlabelled.inputs @ other.T).softmax(dim=1).detach()
        expected = twin.loss(
            batch.labelled.inputs @ other.T,
            batch.targets,
            batch.unlabelled.views.other[batch.unlabelled.rows] @ other.T,
            weak,
        )
        trusted.append(float(found.figures["trusted"]))
        gradient = torch.autograd.grad(found.values.sum(), weight)[0]
        assert_close(
            [found.values.sum().detach(), gradient],
            [expected.detach(), torch.autograd.grad(expected, other)[0]],
        )
    assert 0 < min(trusted) < max(trusted) <= 1


def test_running_figures_of_the_twins_are_the_buffers():
    nets, step, chosen = ready("freematch", TWINS["freematch"][1])
    twin = slow.FreeMatch(CLASSES, **TWINS["freematch"][1])
    for number in range(10):
        batch = minibatch(number)
        step.run(nets, batch, chosen)
        logits = batch.unlabelled.inputs @ nets["probe"].weight.detach().T
        labelled = torch.zeros(LABELLED, CLASSES)
        twin.loss(labelled, batch.targets, logits, logits.softmax(dim=1))
    thresholds, alignment = nets["thresholds"], nets["alignment"]
    assert thresholds.level.value.item() == pytest.approx(twin.level.value)
    for fast, slow_one in (
        (thresholds.probabilities, twin.probabilities),
        (thresholds.guesses, twin.guesses),
        (alignment.predicted, twin.predicted),
        (alignment.labelled, twin.labelled),
    ):
        assert fast.value.tolist() == pytest.approx([mean.value for mean in slow_one])


@every
def test_without_unlabelled_images_it_classifies(method):
    nets, step, chosen = ready(method, TWINS[method][1])
    before = copy.deepcopy(nets)
    batch = minibatch(0, unlabelled=0)
    found = step.run(nets, batch, chosen)
    logits = batch.labelled.inputs @ nets["probe"].weight.detach().T
    expected = slow.labelled_loss(logits, batch.targets)
    assert found.values.detach().sum().item() == pytest.approx(expected.item())
    for name in {"thresholds", "confidence"} & nets.keys():
        for key, value in nets[name].state_dict().items():
            assert torch.equal(value, before[name].state_dict()[key])


def test_fairness_without_a_sure_guess_is_nothing_and_has_no_gradient():
    logits = torch.randn(6, CLASSES).requires_grad_()
    loss = fairness(logits, torch.zeros(6), torch.ones(CLASSES))
    assert loss.item() == 0
    assert torch.equal(torch.autograd.grad(loss, logits)[0], torch.zeros(6, CLASSES))


def test_fairness_is_least_where_the_guesses_are_one_class():
    """It falls as the mean of the strong views leaves what is expected of it: eq. 12 as written."""
    expected = torch.ones(CLASSES) / CLASSES
    level = fairness(torch.eye(CLASSES) * 3, torch.ones(CLASSES), expected)
    assert float(level) == pytest.approx(-torch.log(torch.tensor(CLASSES)).item())
    uneven = torch.eye(CLASSES) * torch.tensor([8.0, 3, 3, 3])[:, None]
    assert fairness(uneven, torch.ones(CLASSES), expected) < level


# The teacher.


def test_the_average_equals_a_loop():
    part = nn.Sequential(nn.Linear(3, 2), nn.BatchNorm1d(2))
    teacher = Average(of=("probe",), decay=0.6)
    teacher.follow({"probe": part})
    expected = None
    for step in range(25):
        with torch.no_grad():
            for parameter in part.parameters():
                parameter.normal_()
        part(torch.randn(4, 3))
        teacher.update({"probe": part})
        keep = min(0.6, step / (9 + step))
        now = [p.detach().clone() for p in part.parameters()]
        expected = now if expected is None else [
            keep * old + (1 - keep) * new for old, new in zip(expected, now, strict=True)
        ]  # fmt: skip
        for mine, value in zip(teacher.probe.parameters(), expected, strict=True):
            torch.testing.assert_close(mine, value)
            assert not mine.requires_grad
    assert torch.equal(teacher.probe[1].running_mean, part[1].running_mean)


@every
def test_the_teacher_answers(method):
    learner = begin(prepare(tiny_config(method=method), tiny_data()))
    images = torch.from_numpy(tiny_data().test.images).permute(0, 3, 1, 2)
    before = learner.logits(images)
    with torch.no_grad():
        learner.parts["probe"].weight.add_(1)
    assert torch.equal(learner.logits(images), before)
    with torch.no_grad():
        learner.parts["teacher"].probe.bias.add_(1)
    torch.testing.assert_close(learner.logits(images), before + 1)


@every
def test_growing_leaves_the_answers_for_old_classes(method):
    learner = begin(prepare(tiny_config(method=method), tiny_data()))
    batch = first_batch(prepare(tiny_config(method=method), tiny_data()), 2)
    for _ in range(3):
        learner.step(batch)
    images = torch.from_numpy(tiny_data().test.images).permute(0, 3, 1, 2)
    before = learner.logits(images)
    learner.grow(7)
    after = learner.logits(images)
    assert after.shape == (len(images), 7)
    torch.testing.assert_close(after[:, :4], before)
    learner.step(batch)  # running figures have grown too
    sums = [float(m.value.sum()) for m in learner.modules() if isinstance(m, Shares)]
    assert sums == pytest.approx([1.0] * len(sums))


@every
def test_it_resumes_to_the_bit(method, tmp_path):
    config = tiny_config(method=method, labels=0.3)
    whole = train(config, tmp_path / "whole", data=tiny_data())
    steps = iter([False] * 4 + [True] * 9)
    with pytest.raises(RunStopped):
        watch = Watch(should_stop=lambda: next(steps))
        train(config, tmp_path / "parts", data=tiny_data(), watch=watch)
    parted = resume(tmp_path / "parts", data=tiny_data())
    first, second = (load_learner(r, checkpoint="latest").state_dict() for r in (whole, parted))
    assert first.keys() == second.keys() >= {"teacher.updates"}
    assert all(torch.equal(first[key], second[key]) for key in first)


def test_seven_unlabelled_images_for_each_labelled_one():
    sizes = (({}, (512, 64)), ({"batch_size": 24}, (24, 3)), ({"data": "digits"}, (128, 16)))
    for given, expected in sizes:
        config = RunConfig(**({"data": "x", "method": "fixmatch"} | given))
        assert (config.batch_size, config.labelled_batch_size) == expected
    assert set(TWINS) < set(METHODS)


# On features with cached views, and on a network with batch norm.


@every
def test_it_learns_from_few_labels_on_features_with_cached_views(method):
    draw = torch.Generator().manual_seed(0)
    truth = torch.arange(300) % 3
    centres = 3 * torch.randn(3, 16, generator=draw)
    noisy = [centres[truth] + torch.randn(300, 16, generator=draw) for _ in range(3)]
    features, cached = noisy[0], torch.stack(noisy[1:])
    config = RunConfig(data="x", method=method, width=16, seed=1, epochs=1)
    with weights_from(0):
        head = nn.Sequential(nn.Linear(16, 16), nn.ReLU())
    learner = Learner(config, 3, head, 16, device=torch.device("cpu"))
    learner.set_rates({"contrastive": 0.003, "probe": 0.003})
    views = FeatureViews(cached, draw)
    labelled, others = torch.arange(6), torch.arange(6, 300)
    for _ in range(60):
        rows = others[torch.randperm(len(others), generator=draw)[:42]]
        pools = [Pool(features[at], at, (len(at),), views) for at in (labelled, rows)]
        learner.step(Batch(pools[0], truth[labelled], pools[1]))
    assert (learner.logits(features).argmax(dim=1) == truth).float().mean() > 0.9


@every
def test_statistics_of_batch_norm_are_those_of_the_network(method):
    config = tiny_config(method=method, encoder="resnet18", width=4)
    learner = begin(prepare(config, tiny_data()))
    learner.step(first_batch(prepare(config, tiny_data()), 2))
    teacher = dict(learner.parts["teacher"].encoder.named_buffers())
    for name, value in learner.parts["encoder"].named_buffers():
        assert torch.equal(teacher[name], value)
    assert teacher["1.num_batches_tracked"] == 2  # weak views apart, then the others
