"""SGD as a choice: its updates by hand, what it decays, resuming and growing."""

import pytest
import torch
from tests.tiny import first_batch, tiny_config, tiny_data
from torch import nn

from lll import RunConfig, RunStopped, UserError, Watch, resume, train
from lll.learn.optimizers import new_optimizers
from lll.learn.prepare import prepare
from lll.runs.predict import load_learner
from lll.runs.train import begin

SGD = {"optimizer": "sgd", "weight_decay": 0.1}


def test_updates_by_hand():
    net = nn.Sequential(nn.Conv2d(3, 2, 3), nn.BatchNorm2d(2), nn.Flatten(), nn.LazyLinear(2))
    images = torch.randn(4, 3, 5, 5)
    net(images)
    optimizer = new_optimizers({"probe": net}, RunConfig(data="x", **SGD))["probe"]
    for group in optimizer.param_groups:
        group["lr"] = 0.05
    twins = {name: p.detach().clone() for name, p in net.named_parameters()}
    speeds = {name: torch.zeros_like(p) for name, p in twins.items()}
    for _ in range(3):
        optimizer.zero_grad()
        net(images).square().mean().backward()
        for name, parameter in net.named_parameters():
            decay = 0.1 if name in ("0.weight", "3.weight") else 0.0
            gradient = parameter.grad + decay * twins[name]
            speeds[name] = 0.9 * speeds[name] + gradient
            twins[name] = twins[name] - 0.05 * (gradient + 0.9 * speeds[name])
        optimizer.step()
        for name, parameter in net.named_parameters():
            torch.testing.assert_close(parameter.detach(), twins[name])


def test_it_resumes_to_the_bit(tmp_path):
    config = tiny_config(encoder="resnet18", width=4, epochs=2, contrastive_rate=0.01, **SGD)
    whole = train(config, tmp_path / "whole", data=tiny_data(each=20))
    steps = iter([False] * 3 + [True] * 9)
    with pytest.raises(RunStopped):
        watch = Watch(should_stop=lambda: next(steps))
        train(config, tmp_path / "parts", data=tiny_data(each=20), watch=watch)
    parted = resume(tmp_path / "parts", data=tiny_data(each=20))
    first, second = (load_learner(r, checkpoint="latest").state_dict() for r in (whole, parted))
    assert all(torch.equal(first[key], second[key]) for key in first)


def test_growing_keeps_the_momentum_of_old_classes():
    prepared = prepare(tiny_config(**SGD), tiny_data())
    learner = begin(prepared)
    learner.step(first_batch(prepared, 2))
    weight = learner.parts["probe"].weight
    before = learner.optimizers["probe"].state[weight]["momentum_buffer"].clone()
    learner.grow(6)
    after = learner.optimizers["probe"].state[learner.parts["probe"].weight]["momentum_buffer"]
    assert torch.equal(after[:4], before)
    assert torch.equal(after[4:], torch.zeros(2, weight.shape[1]))


def test_decay_needs_sgd():
    with pytest.raises(UserError, match=r"^weight_decay 0.1 needs optimizer 'sgd'$"):
        RunConfig(data="x", weight_decay=0.1)
