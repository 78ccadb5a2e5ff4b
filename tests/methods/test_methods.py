"""The table: which parts each method's steps move, and how often they are updated."""

import copy
from dataclasses import replace

import pytest
import torch
from tests.tiny import STEPPING, first_batch, tiny_config, tiny_data

from lll.config import RunConfig
from lll.errors import UserError
from lll.learn.learner import build_learner
from lll.learn.prepare import prepare
from lll.methods.sandbox import RULES
from lll.runs.train import begin

REACHED = {
    "baseline": {"encoder", "probe"},
    "self_supervised": {"encoder", "projection", "probe"},
    "gradual": {"encoder", "projection", "probe"},
}


def ready(**given):
    """A learner with the rates of epoch 2, that epoch's first batch, and the rates."""
    prepared = prepare(tiny_config(**({"classes": 4} | given)), tiny_data())
    learner = begin(prepared)
    learner.set_rates(prepared.rates(2))
    return learner, first_batch(prepared, 2), prepared.rates(2)


def rule_of(learner):
    """The step of the sandbox between contrast and classify."""
    return learner.stages[0][1]


def changed(before, after):
    """Names of the parts whose weights differ."""
    return {
        name
        for name in after
        if any(
            not torch.equal(a, b)
            for a, b in zip(before[name].parameters(), after[name].parameters(), strict=True)
        )
    }


@pytest.mark.parametrize("method", REACHED)
def test_a_step_moves_just_the_parts_it_reaches(method):
    learner, batch, _ = ready(method=method)
    for step in learner.stages[0]:
        before = copy.deepcopy(learner.parts)
        learner.take(step, batch)
        assert changed(before, learner.parts) == set(step.reaches)
    assert {name for step in learner.stages[0] for name in step.reaches} == REACHED[method]
    assert set(learner.parts) == REACHED[method] | {"unknown"}  # that one learns nothing


def test_the_probe_alone_learns_from_labels_in_self_supervised():
    classify = RunConfig(data="x", method="self_supervised")
    classify = classify.how.stages(classify.options)[0][1]
    assert (classify.name, classify.reaches) == ("classify", ("probe",))


@pytest.mark.parametrize("rule", RULES)
def test_a_rule_moves_just_the_parts_it_reaches(rule):
    learner, batch, _ = ready(method="sandbox", rule=rule)
    before = copy.deepcopy(learner.parts)
    learner.take(rule_of(learner), batch)
    with_probe = rule in ("soft_lookup", "meta_reclassify")
    assert changed(before, learner.parts) == (
        {"encoder", "pseudo_probe"} if with_probe else {"encoder"}
    )


@pytest.mark.parametrize(
    ("rule", "updates"), [("reclassify_per_class", "classes"), ("reclassify_weighted", "one")]
)
def test_reclassify_per_class_updates_once_per_class(rule, updates, monkeypatch):
    learner, batch, _ = ready(method="sandbox", rule=rule)
    calls = []
    monkeypatch.setattr(learner.optimizers["contrastive"], "step", lambda: calls.append(1))
    learner.take(rule_of(learner), batch)
    classes = len(batch.targets.unique())
    assert classes == 4
    assert len(calls) == (classes if updates == "classes" else 1)


def test_updates_of_a_class_use_gradients_taken_before_any_of_them():
    learner, batch, rates = ready(method="sandbox", rule="reclassify_per_class")
    views = batch.labelled.views.generator
    step, twin = rule_of(learner), copy.deepcopy(learner.parts)
    views.manual_seed(0)
    learner.take(step, batch)

    views.manual_seed(0)
    losses = step.run(twin, batch, learner.config.options).values
    parameters = list(twin["encoder"].parameters())
    adam = torch.optim.Adam(parameters, lr=rates["contrastive"], fused=True)
    gradients = [torch.autograd.grad(x, parameters, retain_graph=True) for x in losses]
    for gradient in gradients:
        for parameter, value in zip(parameters, gradient, strict=True):
            parameter.grad = value
        adam.step()
    assert changed(learner.parts, twin) == set()


@pytest.mark.parametrize("clip", [1e-3, 1e3])
def test_a_clipped_step_shortens_the_gradient_of_each_update(clip):
    learner, batch, _ = ready(method="sandbox", rule="reclassify_per_class", rule_clip=clip)
    encoder, updates = learner.parts["encoder"], []
    learner.optimizers = {"contrastive": torch.optim.SGD(encoder.parameters(), lr=1.0)}
    learner.optimizers["contrastive"].step = lambda: updates.append(
        [p.grad.clone() for p in encoder.parameters()]
    )
    views = batch.labelled.views.generator
    for rule_clip in (clip, None):
        views.manual_seed(0)
        learner.take(replace(rule_of(learner), clip=rule_clip), batch)
    assert len(updates) == 8
    for mine, plain in zip(updates[:4], updates[4:], strict=True):
        length = torch.cat([p.flatten() for p in plain]).norm()
        for a, b in zip(mine, plain, strict=True):
            torch.testing.assert_close(a, b * min(1.0, clip / length.item()))


@pytest.mark.parametrize("rule", RULES)
@pytest.mark.parametrize("missing", ["labelled", "unlabelled"])
def test_a_rule_does_nothing_without_one_of_the_pools(rule, missing):
    learner, batch, _ = ready(method="sandbox", rule=rule)
    pool = getattr(batch, missing)
    none = replace(pool, inputs=pool.inputs[:0], rows=pool.rows[:0], parts=(0,))
    targets = batch.targets[:0] if missing == "labelled" else batch.targets
    batch = replace(batch, **{missing: none, "targets": targets})
    before = copy.deepcopy(learner.parts)
    assert learner.take(rule_of(learner), batch) is None
    assert changed(before, learner.parts) == set()


def test_batch_norm_of_a_frozen_encoder_does_not_look_at_the_batch():
    learner, batch, _ = ready(method="self_supervised", encoder="resnet18", width=4)
    contrast, probe = learner.stages[0]
    buffers = dict(learner.parts["encoder"].named_buffers())
    for step, moves in ((contrast, True), (probe, False)):
        before = copy.deepcopy(buffers)
        learner.take(step, batch)
        moved = [name for name in buffers if not torch.equal(buffers[name], before[name])]
        assert bool(moved) == moves
        assert learner.parts["encoder"].training


@pytest.mark.parametrize("method", STEPPING)
def test_every_method_has_the_parts_that_its_steps_move(method):
    config = RunConfig(data="x", method=method, width=4)
    learner = build_learner(config, 3, device=torch.device("cpu"))
    moved = {name for stage in learner.stages for step in stage for name in step.reaches}
    assert moved <= set(learner.parts)
    assert learner.logits(torch.zeros(2, 3, 32, 32, dtype=torch.uint8)).shape == (2, 3)


def test_unknown_names_are_told_the_nearest():
    with pytest.raises(UserError, match=r"unknown method 'gradul': did you mean 'gradual'\?"):
        RunConfig(data="x", method="gradul")
    with pytest.raises(
        UserError, match=r"unknown rule 'meta_distanc': did you mean 'meta_distance'"
    ):
        RunConfig(data="x", method="sandbox", rule="meta_distanc")
