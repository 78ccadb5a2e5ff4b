"""The last blocks of a pretrained encoder are trained too, on the maps that enter them."""

import numpy as np
import pytest
import torch
from tests.photos import write_photos
from tests.processes import in_process

from lll import RunConfig, UserError, load_run, train
from lll.nets.encoders import build_encoder
from lll.nets.encoders.efficientnet_lite import LAST
from lll.nets.frozen import parted
from lll.runs.export import export_onnx
from lll.runs.predict import load_learner

LITE2 = "efficientnet_lite2"


@pytest.mark.parametrize("count", [1, 21])
def test_the_two_parts_are_the_encoder(count):
    front, blocks, width = parted(LITE2, 48, None, count)
    x = torch.rand(2, 3, 48, 48)
    with torch.inference_mode():
        found, whole = blocks(front(x)), build_encoder(LITE2, 48, 1, "relu").eval()(x)
    assert front(x).ndim == 2 and found.shape == (2, width)
    torch.testing.assert_close(found, whole[:, :LAST], rtol=1e-3, atol=1e-3)
    assert not any(isinstance(m, torch.nn.BatchNorm2d) for m in blocks.modules())


def test_what_cannot_be_unfrozen(tmp_path):
    data = {"data": "digits"}
    with pytest.raises(UserError, match="unfreeze is 99: this encoder has 21 blocks"):
        parted(LITE2, 48, None, 99)
    with pytest.raises(UserError, match="encoder 'resnet18' cannot be trained in part"):
        parted("resnet18", 32, None, 1)
    for given in ({"method": "auto"}, {"method": "gradual", "freeze": False}):
        with pytest.raises(UserError, match="unfreeze is for a frozen encoder"):
            RunConfig(encoder=LITE2, unfreeze=1, **given, **data)
    assert RunConfig(encoder=LITE2, unfreeze=1, **data).contrastive_rate.low == 1e-4


def test_the_blocks_learn_and_the_rest_stays(tmp_path):
    photos = write_photos(tmp_path / "photos", 5, size=(120, 90))
    flags = ("--encoder", LITE2, "--unfreeze", 1, "--method", "baseline", "--image-size", 48)
    small = ("--epochs", 4, "--batch-size", 8, "--feature-views", 1, "--classes", "all")
    where = ("--out", tmp_path / "run", "--cache", tmp_path / "cache")
    ended = in_process("train", photos, *flags, *small, "--labels", 1, *where)
    assert ended.code == 0, ended.err
    assert "frozen but for its last 1 block" in ended.out and "time     about 1 min" in ended.out
    run = load_run(tmp_path / "run")
    learner = load_learner(run, checkpoint="latest")
    before = parted(LITE2, 48, None, 1)[1].state_dict()
    after = learner.parts["encoder"].state_dict()
    assert before.keys() == after.keys()
    assert not all(torch.equal(before[name], after[name].float()) for name in before)
    assert run.metrics[-1]["classify_loss"] < run.metrics[0]["classify_loss"]
    told = in_process("predict", run.path, photos / "ball", "--checkpoint", "latest")
    assert told.code == 0 and told.out.count("\n") == 6


@pytest.mark.slow
def test_onnx_holds_both_parts(tmp_path):
    pytest.importorskip("onnxruntime")
    photos = write_photos(tmp_path / "photos", 3, size=(80, 60))
    config = RunConfig(
        data=str(photos),
        method="baseline",
        encoder=LITE2,
        unfreeze=2,
        image_size=48,
        epochs=1,
        classes="all",
        feature_views=0,
        labels=1,
        batch_size=8,
    )
    run = train(config, tmp_path / "run", cache=tmp_path / "cache")
    assert export_onnx(run, tmp_path / "net.onnx", checkpoint="latest") < 1e-3
    assert np.isfinite(run.metrics[-1]["classify_loss"])
