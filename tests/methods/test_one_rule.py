"""A sandbox rule is one function and one table line: here are both, the line in a fixture."""

import pytest
import torch
from tests.tiny import tiny_config, tiny_data

from lll import UserError, train
from lll.config import fields_of
from lll.methods.sandbox import RULES, Rule


def to_mean(unlabelled, labelled):
    """Mean squared distance of each labelled point to the mean unlabelled one."""
    return (labelled - unlabelled.mean(dim=0)).square().sum(dim=1).mean()


@pytest.fixture(autouse=True)
def registered(monkeypatch):
    monkeypatch.setitem(RULES, "to_mean", Rule(lambda r: to_mean(r.unlabelled, r.labelled)))


def test_its_value():
    unlabelled, labelled = torch.tensor([[0.0, 0.0], [2.0, 0.0]]), torch.tensor([[1.0, 3.0]])
    assert to_mean(unlabelled, labelled) == 9


def test_it_trains_under_its_name_and_is_in_the_help(tmp_path):
    config = tiny_config(method="sandbox", rule="to_mean", epochs=1)
    run = train(config, tmp_path / "run", data=tiny_data())
    assert run.metrics[-1]["to_mean_loss"] > 0
    assert config.title == "sandbox (to_mean)"
    assert "to_mean" in fields_of("sandbox")["rule"].help
    with pytest.raises(UserError, match=r"rule.*to_mean"):
        tiny_config(method="sandbox", rule="to_men")
