"""A run folder as version 0.1.0 wrote it first: read, predicted with, gone on with, evaluated.

``first_build/`` is a run of that version that was stopped within its second epoch (its
precision, then auto, is written as what that was on a CPU), and ``whole.jsonl`` holds the
metrics that the same run gave without a stop.
"""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from tests.processes import stop_after

from lll import RunStopped, load_data, load_run, resume
from lll.runs.assess import evaluate
from lll.runs.predict import encode, load_learner

FIRST = Path(__file__).parent / "first_build"


@pytest.fixture
def path(tmp_path):
    return Path(shutil.copytree(FIRST, tmp_path / "run"))


def test_it_is_read_and_predicts(path):
    run = load_run(path)
    assert run.config.validation_labels == "all"  # as that version did
    assert (run.config.method, run.config.options.temperature) == ("gradual", 0.1)
    assert (len(run.metrics), run.latest, run.finished) == (1, "epoch-0001-step-0006", False)
    assert run.result["labels_known"] == len(run.label_events())
    images = load_data("digits").test.images[:20]
    told = encode(load_learner(run, checkpoint="latest"), torch.from_numpy(images)).probabilities
    np.testing.assert_allclose(told.sum(axis=1), 1, rtol=1e-5)


def test_it_goes_on_to_the_numbers_it_would_have_had(path):
    run = resume(path)
    assert run.finished
    whole = [json.loads(line) for line in (path / "whole.jsonl").read_text().splitlines()]
    for ours, theirs in zip(run.metrics, whole, strict=True):
        for key, value in theirs.items():
            near = 0.02 if "accuracy" in key else 2e-3
            assert ours[key] == pytest.approx(value, abs=near), key
    figures = evaluate(run)
    assert figures["accuracy"]["final"] == run.metrics[-1]["test_accuracy"]


def test_it_is_stopped_and_goes_on_again(path):
    with pytest.raises(RunStopped):
        resume(path, watch=stop_after(1))
    assert resume(path).finished
