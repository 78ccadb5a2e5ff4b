"""Runs on the features of a frozen pretrained encoder, on drawn photos, from end to end."""

import csv
import json
import pickle

import numpy as np
import pytest
import torch
from tests.photos import KINDS, draw_photo, write_photos
from tests.processes import in_process
from torch import nn

from lll import GradualClassifier, RunConfig, UserError, Watch, load_run, resume, train
from lll.data import decoding
from lll.learn import features
from lll.runs.export import export_onnx
from lll.runs.predict import load_learner
from lll.runs.train import RunStopped
from lll.show.pictures import PICTURES

SMALL = {"encoder": "efficientnet_lite2", "image_size": 64, "feature_views": 1}


@pytest.fixture(scope="module")
def photos(tmp_path_factory):
    return write_photos(tmp_path_factory.mktemp("photos"), 6, unlabelled=4, size=(160, 120))


def config(photos, method="gradual", **given):
    values = {"labels": 1, "classes": "all", "batch_size": 16, "width": 16}
    return RunConfig(data=str(photos), method=method, **(SMALL | values | given))


@pytest.fixture(scope="module", params=[pytest.param("gradual", marks=pytest.mark.slow), "auto"])
def run(request, photos, tmp_path_factory):
    epochs = {"epochs": 12} if request.param == "gradual" else {}
    return train(config(photos, request.param, **epochs), tmp_path_factory.mktemp("run") / "r")


def test_it_learns_from_six_photos_a_class(run):
    assert run.finished
    assert run.result["test_accuracy_final"] >= 0.75  # a quarter is chance


def test_prediction_is_that_of_the_features_it_was_scored_on(run, photos):
    files = sorted(photos.glob("*/0*.jpg"))
    ended = in_process("predict", run.path, photos, "--checkpoint", "latest")
    rows = list(csv.DictReader(ended.out.splitlines()))
    right = [row["class"] == row["path"].split("/")[-2] for row in rows]
    assert len(rows) == len(files)
    assert np.mean(right) >= 0.7


@pytest.mark.parametrize("command", ["evaluate", "plot", "report"])
def test_every_command_takes_such_a_run(run, command, tmp_path, monkeypatch):
    for name in PICTURES.keys() - {"views", "pca-2d", "nearest"}:
        monkeypatch.delitem(PICTURES, name)  # no other looks at images or features
    out = ["--out", tmp_path / "report.html"] if command == "report" else []
    ended = in_process(command, run.path, *out)
    assert ended.code == 0, ended.err


@pytest.mark.slow
def test_onnx_goes_from_pixels_to_probabilities(run, tmp_path):
    found, told = told_by_onnx(run, tmp_path / "net.onnx")
    assert np.abs(found - told).max() < 0.1  # bfloat16 in one, float32 in the other


def test_onnx_holds_a_frozen_encoder_of_the_callers_own_and_a_kernel(photos, tmp_path):
    torch.manual_seed(0)
    encoder = nn.Sequential(nn.Conv2d(3, 24, 8, 8), nn.BatchNorm2d(24), nn.ReLU(), Spots())
    given = {"encoder": "custom", "freeze": True, "image_size": 32}
    run = train(config(photos, "kernel", **given), tmp_path / "r", encoder=encoder)
    learner = load_learner(run, encoder=encoder, checkpoint="latest")
    assert len(learner.parts["kernel"].centres)
    found, told = told_by_onnx(run, tmp_path / "net.onnx", encoder=encoder)
    assert np.abs(found - told).max() < 0.1


class Spots(nn.Module):
    """The mean of each quarter of a map [n, d, h, w]: [n, 4 d]."""

    def forward(self, maps):
        return maps.unflatten(2, (2, -1)).unflatten(4, (2, -1)).mean(dim=(3, 5)).flatten(1)


def told_by_onnx(run, path, **given):
    """What onnxruntime and torch say of the same images."""
    pytest.importorskip("onnxruntime")
    import onnxruntime

    assert export_onnx(run, path, checkpoint="latest", **given) < 1e-3
    size = run.config.image_size
    images = torch.randint(256, (3, 3, size, size), dtype=torch.uint8)
    session = onnxruntime.InferenceSession(str(path))
    (found,) = session.run(["probabilities"], {"images": (images / 255).numpy()})
    told = load_learner(run, checkpoint="latest", **given).logits(images).softmax(dim=1)
    return found, told.numpy()


def test_a_stopped_run_goes_on_to_the_same_bits(photos, tmp_path):
    whole = train(config(photos, epochs=2), tmp_path / "whole")
    stops = iter([False] * 3 + [True] * 9)
    with pytest.raises(RunStopped):
        train(
            config(photos, epochs=2), tmp_path / "p", watch=Watch(should_stop=lambda: next(stops))
        )
    first, second = (load_learner(r).state_dict() for r in (whole, resume(tmp_path / "p")))
    assert all(torch.equal(first[key], second[key]) for key in first)


def test_photos_get_the_pretrained_encoder_unless_told_otherwise(photos, tmp_path):
    ended = in_process("schedule", photos)
    assert "efficientnet_lite2, frozen, 128 pixels" in ended.out
    assert "method   auto" in ended.out
    assert "to choose otherwise: --method" in ended.out
    assert "convnet" in in_process("schedule", photos, "--encoder", "convnet", "--classes", 4).out


def test_an_encoder_and_a_method_on_features_bring_each_other(photos):
    data = {"data": str(photos)}
    assert RunConfig(encoder="efficientnet_lite2", **data).method == "auto"
    assert RunConfig(encoder="efficientnet_lite2", freeze=False, **data).method == "gradual"
    assert RunConfig(encoder="resnet18", **data).method == RunConfig(**data).method == "gradual"
    alone = RunConfig(method="logistic", **data)
    assert (alone.encoder, alone.freeze, alone.image_size) == ("efficientnet_lite2", True, 128)
    with pytest.raises(UserError, match="'logistic' learns on features: name a pretrained encoder"):
        RunConfig(method="logistic", encoder="convnet", **data)


def test_all_that_is_fitted_is_kept_and_told(photos, tmp_path):
    ended = in_process("train", config(photos, "auto").data, "--out", tmp_path / "r")
    assert "auto took " in ended.out
    run = load_run(tmp_path / "r")
    calibration = load_learner(run).parts["calibration"]
    assert calibration.prior.tolist() == run.metrics[-1]["prior"]
    assert len(calibration.nonconformity) == run.metrics[-1]["calibrated_on"] > 0


def test_one_labelled_class_is_not_enough(photos, tmp_path):
    (tmp_path / "events.csv").write_text("id,label,epoch\nball/000.jpg,ball,0\n")
    one = config(photos, "logistic", label_events=str(tmp_path / "events.csv"))
    with pytest.raises(UserError, match="needs labels of two classes at least"):
        train(one, tmp_path / "run")


@pytest.fixture
def encoded(monkeypatch):
    """How many images were encoded, batch by batch."""
    seen = []
    encoded_rows = features.encoded_rows

    def count(*args):
        for at, rows in encoded_rows(*args):
            seen.append(len(at))
            yield at, rows

    monkeypatch.setattr(features, "encoded_rows", count)
    return seen


def test_new_photos_alone_are_decoded_and_encoded(tmp_path, encoded, monkeypatch):
    folder = write_photos(tmp_path / "photos", 4, unlabelled=3, size=(160, 120))
    wanted = config(folder, "logistic", feature_views=0)
    told = []
    watch = Watch(on_encode=lambda *at: told.append(at))
    train(wanted, tmp_path / "first", cache=tmp_path / "cache", watch=watch)
    assert sum(encoded) == 19 and told[-1] == (19, 19)
    encoded.clear()
    (folder / "ball" / "003.jpg").rename(folder / "unlabelled" / "renamed.jpg")
    write_photos(folder, 5, size=(160, 120), seed=100)  # the first four anew, and a fifth
    for kind in ("ladder", "ring", "star"):
        (folder / kind / "004.jpg").unlink()
    decoded = []
    decode = decoding.decode
    monkeypatch.setattr(
        decoding, "decode", lambda data, *how: [decoded.append(1), decode(data, *how)][1]
    )
    train(wanted, tmp_path / "second", cache=tmp_path / "cache")
    assert sum(encoded) == 17 and len(decoded) == 18  # a photo of another name is read again
    encoded.clear()
    train(wanted, tmp_path / "third", cache=tmp_path / "cache")
    assert encoded == []


def test_embed_finds_the_features_of_small_images_that_train_kept(tmp_path, encoded):
    folder = write_photos(tmp_path / "photos", 3, size=(40, 40))
    train(config(folder, "logistic", image_size=48), tmp_path / "run", cache=tmp_path / "cache")
    encoded.clear()
    lite2 = ("--encoder", "efficientnet_lite2", "--image-size", 48, "--cache", tmp_path / "cache")
    in_process("embed", folder, *lite2, "--out", tmp_path / "a.parquet")
    in_process("embed", tmp_path / "run", folder, *lite2[-2:], "--out", tmp_path / "b.parquet")
    assert encoded == []


def drawn(seeds, kinds=KINDS, side=96):
    images = [np.asarray(draw_photo(kind, seed, (side, side))) for kind in kinds for seed in seeds]
    return np.stack(images), np.repeat(list(kinds), len(seeds))


# The sides of images: the encoder's is 64.
@pytest.mark.parametrize(("method", "side"), [("logistic", 96), ("auto", 48), ("gradual", 96)])
def test_the_estimator_learns_on_features_that_are_kept(method, side, encoded):
    images, y = drawn(range(side, side + 6), side=side)
    batches = {"batch_size": 16, "epochs": 8} if method == "gradual" else {}
    model = GradualClassifier(method=method, random_state=0, **batches, **SMALL)
    known = np.where(np.arange(len(y)) % 3, y, "")
    model.fit(images, known)
    assert model.history_[-1]["labels_known"] == (known != "").sum()
    assert model.score(images, y) > 0.7
    encoded.clear()
    again = pickle.loads(pickle.dumps(model))
    np.testing.assert_array_equal(again.predict_proba(images), model.predict_proba(images))
    model.transform(images)
    assert encoded == []


def test_the_estimator_takes_new_classes_on_features(encoded):
    first, y = drawn(range(200, 204), ("ball", "star"))
    more, z = drawn(range(200, 204), ("ladder", "ring"))
    model = GradualClassifier(method="auto", random_state=0, **SMALL)
    model.partial_fit(first, y)
    encoded.clear()
    model.partial_fit(more, z)
    assert sum(encoded) <= 2 * len(more)  # once, and in one view
    assert model.classes_.tolist() == sorted(KINDS)
    assert model.score(np.concatenate([first, more]), np.concatenate([y, z])) > 0.9


def test_an_image_of_a_class_without_a_label_is_unknown(photos, tmp_path):
    """Two ladders in three are called unknown by a run that knows the other classes."""
    order = "ball,ring,star,ladder"
    given = {"classes": 3, "class_order": order, "unlabelled_pool": "all", "test_share": 0.4}
    run = train(config(photos, "logistic", **given), tmp_path / "r")
    files = sorted(photos.glob("[blrs]*/0*.jpg"))
    before = (run.path / "checkpoints" / run.latest / "weights.safetensors").read_bytes()
    ended = in_process("predict", run.path, *files, "--checkpoint", "latest")
    rows = list(csv.DictReader(ended.out.splitlines()))
    ladders = np.array(["/ladder/" in row["path"] for row in rows])
    unknown = np.array([float(row["unknown"]) for row in rows])
    assert unknown[ladders].mean() > unknown[~ladders].mean() + 0.1
    assert {row["is_unknown"] for row in rows} <= {"yes", "no"}
    moved = in_process("predict", run.path, *files, "--unknown-above", "0")
    assert {row["is_unknown"] for row in csv.DictReader(moved.out.splitlines())} == {"yes"}
    after = (run.path / "checkpoints" / run.latest / "weights.safetensors").read_bytes()
    assert before == after
    assert in_process("evaluate", run.path).code == 0
    figures = json.loads((run.path / "evaluation.json").read_text())
    assert figures["unknown"]["auroc"] > 0.7
