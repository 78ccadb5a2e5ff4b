"""A picture is one function and one table line: this file is one, with the line in a fixture."""

import pytest
from matplotlib.figure import Figure
from tests.processes import in_process
from tests.tiny import tiny_config, tiny_data

from lll import train
from lll.show import report
from lll.show.pictures import PICTURES


def draw_margins(material):
    """How sure the network is of each test image."""
    figure = Figure()
    figure.add_subplot().hist(material.encoded.probabilities.max(axis=1))
    return figure


@pytest.fixture(autouse=True)
def registered():
    others = dict(PICTURES)
    PICTURES.clear()  # the others take seconds each
    PICTURES["margins"] = draw_margins
    yield
    PICTURES.clear()
    PICTURES.update(others)


def test_it_is_plotted_reported_and_in_the_help(tmp_path):
    run = train(tiny_config(epochs=1), tmp_path / "run", data=tiny_data())
    report.report([run], tmp_path / "r.html", load=lambda config: tiny_data())
    text = (tmp_path / "r.html").read_text("utf-8")
    assert "How sure the network is of each test image" in text
    assert "Pictures: margins." in in_process("plot", "--help").out
    unknown = in_process("plot", run.path, "--only", "margin")
    assert (unknown.code, "margins" in unknown.err) == (2, True)
