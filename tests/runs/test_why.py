"""Predictions with their sets and with the labelled images most like them, on drawn photos."""

import csv
import shutil

import numpy as np
import pytest
from tests.photos import write_photos
from tests.processes import in_process

from lll import RunConfig, UserError, load_run, train
from lll.runs.predict import predict_files

LABELLED, NEW = 8, 25


def make_run(folder, method, tmp):
    lite2 = {"encoder": "efficientnet_lite2", "image_size": 64, "feature_views": 1}
    config = RunConfig(data=str(folder), method=method, labels=1, classes="all", **lite2)
    return train(config, tmp / method, cache=tmp / "cache")


@pytest.fixture(scope="module")
def photos(tmp_path_factory):
    return write_photos(tmp_path_factory.mktemp("photos"), LABELLED, size=(120, 90))


@pytest.fixture(scope="module")
def run(photos, tmp_path_factory):
    return make_run(photos, "auto", tmp_path_factory.mktemp("run"))


def rows_of(text):
    return list(csv.DictReader(text.splitlines()))


def test_sets_hold_the_truth_as_often_as_promised(run, tmp_path):
    new = write_photos(tmp_path / "new", NEW, size=(120, 90), seed=1000)
    predictions, _, _ = predict_files(run, [new], error=0.1)
    held = [p.path.split("/")[-2] in p.classes for p in predictions]
    spread = 3 * np.sqrt(0.1 * 0.9 / len(held) + 0.1 * 0.9 / (4 * LABELLED))
    assert len(held) == 4 * NEW and np.mean(held) >= 0.9 - spread
    assert np.mean([len(p.classes) for p in predictions]) < 3  # and they say something
    assert all(p.classes[0] == p.class_name for p in predictions)
    smaller, larger = (predict_files(run, [new / "ball"], error=e)[0] for e in (0.5, 0.06))
    assert all(set(a.classes) <= set(b.classes) for a, b in zip(smaller, larger, strict=True))


def test_too_few_labels_for_a_set_are_said(run, photos):
    ended = in_process("predict", run.path, photos / "ball", "--error", 0.01)
    assert {row["set"] for row in rows_of(ended.out)} == {"not calibrated: too few labels"}
    assert "an error of 1.0% needs 99 held-out labels or more" in ended.err
    wrong = in_process("predict", run.path, photos / "ball", "--error", 1.5)
    assert wrong.code == 2 and "error of prediction sets is 1.5: choose" in wrong.err


@pytest.mark.parametrize("method", ["auto", "baseline"])
def test_a_labelled_image_is_nearest_to_itself(method, run, photos, tmp_path):
    run = run if method == "auto" else make_run(photos, method, tmp_path)
    known = {e.id for e in load_run(run.path).label_events() if e.origin != "validation"}
    rows = rows_of(in_process("predict", run.path, photos, "--why").out)
    assert len(rows) == 4 * LABELLED and rows[0].keys() >= {"near_1", "near_5_cosine"}
    for row in rows:
        cosines = [float(row[f"near_{i}_cosine"]) for i in range(1, 6)]
        assert cosines == sorted(cosines, reverse=True)
        near = [row[f"near_{i}"] for i in range(1, 6)]
        assert [row[f"near_{i}_class"] for i in range(1, 6)] == [p.split("/")[-2] for p in near]
        assert {p.removeprefix(f"{photos}/") for p in near} <= known
        if row["path"].removeprefix(f"{photos}/") in known:
            assert near[0] == row["path"] and cosines[0] > 0.99


def test_without_the_labelled_images_there_is_no_why(run, photos, tmp_path):
    folder = shutil.copytree(photos, tmp_path / "photos")
    run = load_run(shutil.copytree(run.path, tmp_path / "run"))
    settings = run.path / "config.toml"
    settings.write_text(settings.read_text().replace(str(photos), str(folder)))
    for photo in folder.glob("*/*.jpg"):
        photo.rename(photo.with_stem(f"{photo.stem}-new"))
    ended = in_process("predict", run.path, folder, "--why")
    assert ended.code == 2 and "none of the" in ended.err and "without --why" in ended.err
    assert in_process("predict", run.path, folder).code == 0


def test_the_same_file_twice_is_two_rows(run, photos):
    photo = photos / "ball" / "000.jpg"
    assert [p.path for p in predict_files(run, [photo, photo])[0]] == [str(photo)] * 2
    with pytest.raises(UserError, match="no such image or folder"):
        predict_files(run, [photos / "none.jpg"])
