"""A method is one file and one table line: this file is one, with the line in a fixture.

It has an option, a part and a running buffer of its own, and no other file knows of it.
"""

import pytest
import torch
from pydantic import Field
from tests.processes import in_process
from tests.tiny import tiny_config, tiny_data
from torch import nn

from lll import GradualClassifier, RunConfig, Watch, load_run, resume, train
from lll.config import fields_of, read_toml
from lll.methods import METHODS
from lll.methods.classify import CLASSIFY, probe
from lll.methods.method import Losses, Method, MethodOptions, Step
from lll.runs.predict import load_learner
from lll.runs.train import RunStopped


class CalmOptions(MethodOptions):
    calm: float = Field(0.1, ge=0, description="how strongly encodings are drawn to their mean")


class RunningMean(nn.Module):
    """A running mean of encodings [d]: a buffer that a step moves."""

    def __init__(self, features):
        super().__init__()
        self.register_buffer("mean", torch.zeros(features))

    def update(self, encodings):
        self.mean.lerp_(encodings.detach().mean(dim=0), 0.5)


def parts(shape, options):
    return {**probe(shape, options), "running": RunningMean(shape.features)}


def calm(nets, batch, options):
    pool = batch.everything
    encodings = pool.gather(nets["encoder"](pool.weak()))
    nets["running"].update(encodings)
    distance = (encodings - nets["running"].mean).square().mean()
    return Losses(batch.whole(options.calm * distance)[None], {"distance": distance.detach()})


METHOD = Method(
    summary="drawing encodings to their running mean, then classifying",
    options=CalmOptions,
    parts=parts,
    stages=lambda options: ((Step("calm", calm, ("encoder",)), CLASSIFY),),
)


@pytest.fixture(autouse=True)
def registered(monkeypatch):
    monkeypatch.setitem(METHODS, "calm", METHOD)


def config(**given):
    return tiny_config(method="calm", **given)


def test_it_trains_and_records_what_it_says(tmp_path):
    run = train(config(calm=0.3), tmp_path / "run", data=tiny_data())
    assert run.finished
    assert {"calm_loss", "distance", "classify_loss"} <= run.metrics[-1].keys()
    learner = load_learner(run, checkpoint="latest")
    assert learner.parts["running"].mean.abs().sum() > 0
    assert learner.config.options.calm == 0.3


def test_it_resumes_to_the_bit_its_buffer_included(tmp_path):
    whole = train(config(), tmp_path / "whole", data=tiny_data())
    steps = iter([False] * 7 + [True] * 9)
    with pytest.raises(RunStopped):
        watch = Watch(should_stop=lambda: next(steps))
        train(config(), tmp_path / "parts", data=tiny_data(), watch=watch)
    parted = resume(tmp_path / "parts", data=tiny_data())
    first, second = (load_learner(r, checkpoint="latest").state_dict() for r in (whole, parted))
    assert first.keys() == second.keys() >= {"running.mean"}
    assert all(torch.equal(first[key], second[key]) for key in first)


def test_its_option_is_in_toml_and_in_the_record(tmp_path):
    file = tmp_path / "settings.toml"
    file.write_text('data = "digits"\nmethod = "calm"\ncalm = 0.25\n')
    given = RunConfig(**read_toml(file))
    assert given.options.calm == 0.25
    assert "how strongly encodings are drawn" in given.to_toml()
    run = train(config(calm=0.25, epochs=1), tmp_path / "run", data=tiny_data())
    assert load_run(run.path).config.options.calm == 0.25


def test_its_option_is_a_parameter_of_the_estimator():
    data = tiny_data().train
    model = GradualClassifier(method="calm", calm=0.2, epochs=1, width=8, random_state=0)
    assert model.get_params()["calm"] == 0.2
    assert "distance" in model.fit(data.images, data.labels).history_[0]


def test_its_option_is_in_the_help():
    text = in_process("train", "--help").out
    assert "--calm" in text
    assert "Options of calm" in text
    assert fields_of("calm")["calm"].group == "Options of calm"
