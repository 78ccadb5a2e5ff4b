"""An encoder is one file and one table line: this file is one, with the line in a fixture.

It has an input size and a normalisation of its own, and no other file knows of it.
"""

import pytest
import torch
from tests.processes import in_process, write_npz
from torch import nn

from lll import RunConfig, load_run
from lll.config import fields_of
from lll.nets.encoders import ENCODERS, Encoder, build_encoder
from lll.runs.predict import load_learner


def spots(image_size, width, activation):
    """The image as 4 x 4 spots, then a dense layer."""
    return nn.Sequential(
        nn.AvgPool2d(image_size // 4), nn.Flatten(), nn.Linear(48, width), activation()
    )


ENCODER = Encoder(
    name="spots",
    description="sixteen spots and a dense layer",
    build=spots,
    features=128,
    size=40,
    sizes=(8, 80),
    mean=(0.5, 0.4, 0.3),
    std=(0.2, 0.2, 0.2),
)


@pytest.fixture(autouse=True)
def registered(monkeypatch):
    monkeypatch.setitem(ENCODERS, "spots", ENCODER)


def test_size_and_normalisation_are_its_own():
    assert RunConfig(data="digits", encoder="spots").image_size == 40
    module = build_encoder("spots", 40, 8, "relu")
    colour = torch.tensor([0.5, 0.4, 0.3])[None, :, None, None].expand(1, 3, 40, 40)
    assert module[0](colour).abs().max() < 1e-6


def test_it_trains_predicts_and_is_listed(tmp_path):
    data, run = write_npz(tmp_path / "tiny.npz", each=8), tmp_path / "run"
    flags = ("--encoder", "spots", "--epochs", 1, "--width", 8, "--labels", 1, "--quiet")
    ended = in_process("train", data, *flags, "--out", run)
    assert ended.code == 0, ended.err
    assert load_run(run).config.image_size == 40
    assert isinstance(load_learner(load_run(run)).parts["encoder"], nn.Sequential)
    assert "spots: 40 pixels (8 to 80), 128 features" in in_process("encoders").out
    assert "spots" in fields_of()["encoder"].help
    small = in_process("train", data, *flags, "--image-size", 4, "--out", tmp_path / "small")
    assert (small.code, "image_size" in small.err) == (2, True)
