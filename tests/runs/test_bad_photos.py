"""Photos, labels, encoders and weights that cannot be used: one line, exit code 2, nothing lost."""

import shutil
from pathlib import Path

import pytest
import safetensors.torch
import torch
from tests.photos import write_photos
from tests.processes import in_process

from lll import UserError, load_run
from lll.learn import feature_store

SMALL = ("--image-size", 48, "--feature-views", 0)


@pytest.fixture(scope="module")
def photos(tmp_path_factory):
    return write_photos(tmp_path_factory.mktemp("photos"), 3, size=(80, 60))


@pytest.fixture
def folder(photos, tmp_path):
    return shutil.copytree(photos, tmp_path / "photos")


def trained(folder: Path, *flags: object) -> str:
    """`lll train` of the photos in ``folder``, which must work; all that it says."""
    where = ("--cache", folder.parent / "cache", "--out", folder.parent / "run")
    ended = in_process("train", folder, *where, *SMALL, *flags)
    assert ended.code == 0, ended.err
    return ended.out + ended.err


def refused(folder: Path, *flags: object) -> str:
    """The one line that refuses it; no run is left behind."""
    where = ("--cache", folder.parent / "cache", "--out", folder.parent / "run")
    ended = in_process("train", folder, *where, *SMALL, *flags)
    assert ended.code == 2 and ended.err.count("\n") == 1, ended.err
    assert not (folder.parent / "run").exists()
    return ended.err


def cut(photo: Path) -> None:
    photo.write_bytes(photo.read_bytes()[:300])


def test_a_photo_that_cannot_be_read_is_skipped_in_view(folder):
    cut(folder / "ball" / "001.jpg")
    assert "images skipped: 1, first ball/001.jpg" in trained(folder)
    assert "ball/001.jpg cannot be read" in refused_strictly(folder)
    kept = {e.id for e in load_run(folder.parent / "run").label_events()}
    assert "ball/001.jpg" not in kept


def refused_strictly(folder: Path) -> str:
    ended = in_process("train", folder, "--strict", "--out", folder.parent / "other", *SMALL)
    assert ended.code == 2 and not (folder.parent / "other").exists()
    return ended.err


def test_a_class_that_cannot_be_read_is_named(folder):
    for photo in (folder / "ball").iterdir():
        cut(photo)
    assert "class 'ball' has no readable image: all 3 were skipped" in refused(folder)


@pytest.mark.parametrize(
    ("flags", "said"),
    [
        (
            ("--encoder", "convnet", "--freeze", "yes"),
            "encoder 'convnet' has no pretrained weights",
        ),
        (("--image-size", 16), "image_size 16 is too small for encoder 'efficientnet_lite2'"),
        (("--encoder", "efficientnet"), "unknown encoder 'efficientnet'"),
        (("--encoder", "timm:none"), "'timm:none'"),
        (("--weights", "nowhere.pth"), "nowhere.pth: the weights cannot be read"),
    ],
)
def test_an_encoder_that_cannot_be_had(folder, flags, said):
    assert said in refused(folder, *flags)


def test_weights_of_another_shape(folder, tmp_path):
    from lll.nets.encoders.efficientnet_lite import efficientnet_lite

    weights = {k: v.contiguous() for k, v in efficientnet_lite(1.1, 1.2).state_dict().items()}
    weights["_conv_stem.weight"] = torch.zeros(32, 3, 5, 5)
    safetensors.torch.save_file(weights, tmp_path / "w.safetensors")
    line = refused(folder, "--weights", tmp_path / "w.safetensors")
    assert "'_conv_stem.weight' has shape [32, 3, 5, 5] instead of [32, 3, 3, 3]" in line
    (tmp_path / "w.safetensors").write_bytes(b"no weights")
    assert "not a readable safetensors" in refused(folder, "--weights", tmp_path / "w.safetensors")


def test_one_class_is_refused_and_two_with_a_label_each_are_enough(folder):
    for kind in ("ladder", "ring"):
        shutil.rmtree(folder / kind)
    for kind in ("ball", "star"):
        for photo in ("001.jpg", "002.jpg"):
            (folder / kind / photo).rename(folder / kind / f"../{kind}{photo}")
    (folder / "unlabelled").mkdir()
    for photo in folder.glob("*.jpg"):
        photo.rename(folder / "unlabelled" / photo.name)
    assert "labels used: 2 to train" in trained(folder)
    shutil.rmtree(folder.parent / "run")
    shutil.rmtree(folder / "star")
    assert "class" in refused(folder)
    assert "needs labels of two classes at least" in refused(folder, "--classes", 1)


def test_fewer_labels_than_classes(folder, tmp_path):
    rows = "".join(f"{kind}/000.jpg,{kind},0\n" for kind in ("ball", "star"))
    (tmp_path / "events.csv").write_text(f"id,label,epoch\n{rows}")
    events = ("--label-events", tmp_path / "events.csv", "--test-share", 0)
    assert "labels used: 2 to train" in trained(folder, *events)


def test_no_unlabelled_image_is_needed(folder):
    assert "labels used: 12 to train" in trained(folder, "--test-share", 0)


def test_no_space_for_features_is_said_before_the_work(folder, monkeypatch):
    usage = type("Usage", (), {"free": 2**26 + 100})
    monkeypatch.setattr(feature_store.shutil, "disk_usage", lambda folder: usage)
    from lll import RunConfig, train

    config = RunConfig(data=str(folder), method="auto", encoder="efficientnet_lite2", image_size=48)
    with pytest.raises(UserError, match=r"no features can be kept there .* --cache FOLDER"):
        train(config, folder.parent / "run", cache=folder.parent / "cache")
    assert not (folder.parent / "run").exists()
