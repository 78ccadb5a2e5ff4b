"""Weights that a learner cannot take are said in a line, with what to do."""

import pytest
import torch

from lll import RunConfig, UserError
from lll.learn.learner import build_learner


def test_weights_of_another_version():
    config = RunConfig(data="digits", method="baseline", width=4)
    learner = build_learner(config, 3, device=torch.device("cpu"))
    weights = dict(learner.state_dict())
    learner.fill(weights, "runs/x")
    weights.pop("probe.weight")
    with pytest.raises(UserError, match=r"^runs/x: .* earlier version: train the run anew") as told:
        learner.fill(weights, "runs/x")
    assert "probe.weight" in str(told.value) and "\n" not in str(told.value)
