"""A figure of merit is one function and one table line: here are both, the line in a fixture."""

import io
import json
from contextlib import redirect_stdout

import numpy as np
import pytest
from tests.tiny import tiny_config, tiny_data

from lll import UserError, train
from lll.cli import evaluate as command
from lll.runs.assess import evaluate, save_evaluation
from lll.runs.figures import FIGURES, Figure
from lll.show.report_tables import has_all
from lll.words import decimal


def spread(points):
    """Mean distance of ``points`` [n, d] to their mean."""
    if not len(points):
        raise UserError("needs a test image")
    return float(np.linalg.norm(points - points.mean(axis=0), axis=1).mean())


@pytest.fixture(autouse=True)
def registered(monkeypatch):
    figure = Figure("spread", lambda judged: spread(judged.test), decimal, "of the test images")
    monkeypatch.setitem(FIGURES, "shape.spread", figure)


def test_its_value():
    assert spread(np.array([[0.0, 0.0], [6.0, 8.0]])) == 5


def test_it_is_computed_kept_printed_and_asked_for_by_the_report(tmp_path):
    run = train(tiny_config(epochs=1), tmp_path / "run", data=tiny_data())
    figures = evaluate(run, data=tiny_data())
    assert figures["shape"]["spread"] > 0
    kept = json.loads(save_evaluation(run, figures).read_text())
    assert has_all(kept)
    del kept["shape"]
    assert not has_all(kept)  # so the report makes the figures anew, and shows it
    with redirect_stdout(io.StringIO()) as out:
        command.say_figures(figures)
    assert "spread" in out.getvalue()
