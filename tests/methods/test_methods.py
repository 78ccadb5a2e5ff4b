"""The tables: which module each method's gradient reaches, and how often it is updated."""

import copy

import pytest
import torch
from tests.tiny import tiny_config, tiny_data

from lll.config import METHOD_DEFAULTS, RunConfig
from lll.errors import UserError
from lll.learn.feeding import minibatches
from lll.methods import METHODS, OPTIMIZER_OF, RULES, rule_step, stages_of
from lll.runs.prepare import prepare
from lll.runs.train import _begin, _networks, _set_rates, _take

REACHED = {
    "baseline": {"encoder", "probe"},
    "self_supervised": {"encoder", "projection", "probe"},
    "gradual": {"encoder", "projection", "probe"},
}


def ready(**given):
    """A prepared run, its learner with the rates of epoch 2, and that epoch's first batch."""
    from lll.learn.batches import epoch_batches

    prepared = prepare(tiny_config(**({"classes": 4} | given)), tiny_data())
    learner = _begin(prepared, None)
    _set_rates(learner, prepared.plan[2])
    known = prepared.known(2)
    first = epoch_batches(
        known.labelled,
        known.unlabelled,
        batch_size=24,
        labelled_batch_size=None,
        seed=0,
        epoch=2,
    )[0]
    return prepared, learner, next(minibatches(prepared.train, [first], prepared.device))


def take(step, learner, batch, prepared, views):
    networks = _networks(learner.modules, prepared)
    return _take(step, learner, networks, batch, prepared.options, views)


def changed(before, after):
    """Names of the modules whose weights differ."""
    return {
        name
        for name in OPTIMIZER_OF
        if any(
            not torch.equal(a, b)
            for a, b in zip(before[name].parameters(), after[name].parameters(), strict=True)
        )
    }


@pytest.mark.parametrize("method", REACHED)
def test_a_step_moves_just_the_modules_it_reaches(method):
    prepared, learner, batch = ready(method=method)
    for step in prepared.stages[0]:
        before = copy.deepcopy(learner.modules)
        take(step, learner, batch, prepared, torch.Generator().manual_seed(0))
        assert changed(before, learner.modules) == set(step.reaches)
    reached = {name for step in prepared.stages[0] for name in step.reaches}
    assert reached == REACHED[method]


def test_the_probe_alone_learns_from_labels_in_self_supervised():
    classify = stages_of("self_supervised")[0][1]
    assert (classify.name, classify.reaches) == ("classify", ("probe",))
    assert stages_of("gradual")[0][1].reaches == ("encoder", "probe")


@pytest.mark.parametrize("rule", RULES)
def test_a_rule_moves_just_the_modules_it_reaches(rule):
    prepared, learner, batch = ready(method="sandbox", rule=rule)
    before = copy.deepcopy(learner.modules)
    take(rule_step(rule), learner, batch, prepared, torch.Generator().manual_seed(0))
    with_probe = rule in ("soft_lookup", "meta_reclassify")
    assert changed(before, learner.modules) == (
        {"encoder", "pseudo_probe"} if with_probe else {"encoder"}
    )


@pytest.mark.parametrize(
    ("rule", "updates"), [("reclassify_per_class", "classes"), ("reclassify_weighted", "one")]
)
def test_reclassify_per_class_updates_once_per_class(rule, updates, monkeypatch):
    prepared, learner, batch = ready(method="sandbox", rule=rule)
    calls = []
    optimizer = learner.optimizers["contrastive"]
    monkeypatch.setattr(optimizer, "step", lambda: calls.append(1))
    take(rule_step(rule), learner, batch, prepared, torch.Generator().manual_seed(0))
    classes = len(batch.targets.unique())
    assert classes == 4
    assert len(calls) == (classes if updates == "classes" else 1)


def test_updates_of_a_class_use_gradients_taken_before_any_of_them():
    prepared, learner, batch = ready(method="sandbox", rule="reclassify_per_class")
    step, twin = rule_step("reclassify_per_class"), copy.deepcopy(learner.modules)
    take(step, learner, batch, prepared, torch.Generator().manual_seed(0))

    result = step.run(dict(twin.items()), batch, prepared.options, torch.Generator().manual_seed(0))
    parameters = list(twin["encoder"].parameters())
    adam = torch.optim.Adam(parameters, lr=prepared.plan[2].contrastive_rate, fused=True)
    gradients = [torch.autograd.grad(x, parameters, retain_graph=True) for x in result.losses]
    for gradient in gradients:
        for parameter, value in zip(parameters, gradient, strict=True):
            parameter.grad = value
        adam.step()
    assert changed(learner.modules, twin) == set()


@pytest.mark.parametrize("rule", RULES)
@pytest.mark.parametrize("missing", ["labelled", "unlabelled"])
def test_a_rule_does_nothing_without_one_of_the_pools(rule, missing):
    prepared, learner, batch = ready(method="sandbox", rule=rule)
    none = torch.empty(0, 3, 32, 32, dtype=torch.uint8)
    gone = (
        {"unlabelled": none, "all_unlabelled": 0}
        if missing == "unlabelled"
        else {
            "labelled": none,
            "targets": torch.empty(0, dtype=torch.int64),
            "all_labelled": 0,
        }
    )
    batch = type(batch)(**(vars(batch) | gone))
    before = copy.deepcopy(learner.modules)
    step = rule_step(rule)
    assert take(step, learner, batch, prepared, torch.Generator().manual_seed(0)) is None
    assert changed(before, learner.modules) == set()


def test_batch_norm_of_a_frozen_encoder_does_not_look_at_the_batch():
    prepared, learner, batch = ready(method="self_supervised", encoder="resnet18", width=4)
    contrast, probe = prepared.stages[0]
    buffers = dict(learner.modules["encoder"].named_buffers())
    for step, moves in ((contrast, True), (probe, False)):
        before = copy.deepcopy(buffers)
        take(step, learner, batch, prepared, torch.Generator().manual_seed(0))
        moved = [name for name in buffers if not torch.equal(buffers[name], before[name])]
        assert bool(moved) == moves
        assert learner.modules["encoder"].training


def test_every_method_has_steps_and_known_defaults():
    assert set(METHOD_DEFAULTS) <= set(METHODS)
    for method in METHODS:
        config = RunConfig(data="x", method=method)
        for stage in stages_of(config.method, config.rule):
            assert all(set(step.reaches) <= set(OPTIMIZER_OF) for step in stage)


def test_unknown_names_are_told_the_nearest():
    with pytest.raises(UserError, match=r"unknown method 'gradul': did you mean 'gradual'\?"):
        stages_of("gradul")
    with pytest.raises(
        UserError, match=r"unknown rule 'meta_distanc': did you mean 'meta_distance'"
    ):
        stages_of("sandbox", "meta_distanc")
    with pytest.raises(UserError, match="needs a rule"):
        stages_of("sandbox")
