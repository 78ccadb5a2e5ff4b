"""From a run folder to pictures, and one line for what cannot be drawn."""

import sys
from dataclasses import replace

import numpy as np
import pytest
import torch
from PIL import Image
from tests.processes import in_process, save_checkpoint
from tests.tiny import tiny_config, tiny_data

from lll import DataSet, UserError, train
from lll.cli import main
from lll.runs.checkpoint import load_checkpoint
from lll.runs.record import load_run
from lll.show import pictures
from lll.show.material import Material
from lll.show.pictures import PICTURES, plot


@pytest.fixture(autouse=True)
def quick_umap(request, monkeypatch):
    """UMAP compiles for many seconds: only its own slow test pays that."""
    if "slow" not in request.keywords:
        monkeypatch.setattr(pictures, "umap_points", lambda encodings, seed: encodings[:, :2])


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    return train(tiny_config(), tmp_path_factory.mktemp("run"), data=tiny_data())


def without_labels(data: DataSet) -> DataSet:
    test = replace(data.test, labels=np.full_like(data.test.labels, -1))
    return replace(data, test=test)


def test_every_picture_of_a_run(trained):
    seen = []
    files = plot(trained, data=tiny_data(), on_file=seen.append)
    folder = trained.path / "pictures"
    assert files == seen == [folder / f"{n}.{kind}" for n in PICTURES for kind in ("png", "svg")]
    for name in PICTURES:
        with Image.open(folder / f"{name}.png") as image:
            assert len(np.unique(np.asarray(image.convert("L")))) > 10


def test_pictures_of_the_record_alone_need_no_data(trained):
    files = plot(trained, ["learning", "seconds", "accuracy-labels"], data=None)
    assert len(files) == 6


def test_the_same_views_and_clusters_each_time(trained):
    def drawn():
        material = Material(trained, data=tiny_data())
        return np.asarray(PICTURES["views"](material).axes[1].images[0].get_array())

    assert np.array_equal(drawn(), drawn())


def test_clusters_bear_the_class_that_they_match(trained):
    material = Material(trained, data=tiny_data())
    assert (material.clusters == material.labels).mean() > 0.9  # classes are plain colours


def test_unknown_picture_names_the_nearest(trained):
    with pytest.raises(UserError, match="unknown picture 'umpa': did you mean 'umap'"):
        plot(trained, ["learning", "umpa"], data=tiny_data())


def test_unknown_picture_on_the_command_line_exits_2(trained, monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["lll", "plot", str(trained.path), "--only", "lerning"])
    with pytest.raises(SystemExit) as stop:
        main()
    assert stop.value.code == 2
    assert capsys.readouterr().err.count("\n") == 1


def test_command_prints_the_files(trained, monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["lll", "plot", str(trained.path), "--only", "learning"])
    with pytest.raises(SystemExit) as stop:
        main()
    assert stop.value.code == 0
    folder = trained.path / "pictures"
    assert capsys.readouterr().out.split() == [f"{folder}/learning.png", f"{folder}/learning.svg"]


def test_an_unfinished_run_shows_what_it_has(tmp_path):
    run = train(tiny_config(), tmp_path / "run", data=tiny_data())
    for name in ("metrics", "timings"):
        file = run.path / f"{name}.jsonl"
        file.write_text("".join(file.read_text().splitlines(keepends=True)[:1]))
    half = load_run(run.path)
    assert not half.finished
    assert len(plot(half, ["learning", "schedule"], data=tiny_data())) == 4
    (run.path / "metrics.jsonl").write_text("")
    with pytest.raises(UserError, match=r"not drawn: learning, seconds: .*no epoch is finished"):
        plot(run.path, ["learning", "seconds"], data=tiny_data())


def test_without_test_labels_only_what_compares_is_missing(tmp_path):
    data = without_labels(tiny_data())
    run = train(tiny_config(epochs=1), tmp_path / "run", data=data)
    with pytest.raises(UserError, match=r"not drawn: accuracy-labels, confusion: .*has a label"):
        plot(run, ["accuracy-labels", "confusion", "pca-2d"], data=data)
    assert (run.path / "pictures" / "pca-2d.png").is_file()


def test_without_test_images(tmp_path):
    data = tiny_data()
    data = replace(data, test=data.test.take(np.zeros(len(data.test), dtype=bool)))
    run = train(tiny_config(epochs=1), tmp_path / "run", data=data)
    with pytest.raises(UserError, match="no test images"):
        plot(run, ["umap"], data=data)


def test_one_class(tmp_path):
    data = tiny_data(classes=1, test_each=20)
    run = train(tiny_config(epochs=1, classes=1), tmp_path / "run", data=data)
    assert len(plot(run, ["confusion", "umap", "pca-2d", "views"], data=data)) == 8


def test_fewer_images_than_neighbours(tmp_path):
    data = tiny_data(test_each=2)
    run = train(tiny_config(epochs=1), tmp_path / "run", data=data)
    with pytest.raises(UserError, match=r"not drawn: umap: .*needs 16 test images, there are 8"):
        plot(run, ["umap", "pca-2d", "pca-3d"], data=data)
    assert (run.path / "pictures" / "pca-3d.png").is_file()


def test_fewer_images_than_clusters(tmp_path, caplog):
    data = tiny_data()
    data = replace(data, test=data.test.take(np.arange(3)))
    run = train(tiny_config(epochs=1), tmp_path / "run", data=data)
    files = plot(run, data=data)
    assert run.path / "pictures" / "pca-2d.png" in files
    assert [m for m in caplog.messages if "pca-3d" in m or "umap" in m]
    assert "PCA in 2 dimensions: the clusters are left out" in caplog.text
    assert "k-means with 4 clusters needs 4 images or more (found 3)" in caplog.text


@pytest.mark.parametrize(("value", "said"), [(float("inf"), "NaN"), (0.0, "collapsed")])
def test_unusable_encodings(tmp_path, value, said):
    data = tiny_data()
    run = train(tiny_config(epochs=1), tmp_path / "run", data=data)
    saved = load_checkpoint(run.path)
    for name, weights in saved.weights.items():
        if name.startswith("encoder."):
            torch.Tensor.fill_(weights, value)
    save_checkpoint(run.path, replace(saved, position=replace(saved.position, epoch=2)))
    with pytest.raises(UserError, match=f"not drawn: umap, pca-2d: .*{said}"):
        plot(load_run(run.path), ["umap", "pca-2d"], data=data)


def test_other_data_than_the_run_was_trained_on(trained):
    with pytest.raises(UserError, match=r"not what .* was trained on"):
        plot(trained, ["confusion"], data=tiny_data(seed=1))


@pytest.mark.slow
def test_umap_keeps_classes_together_and_repeats():
    rng = np.random.default_rng(0)
    labels = np.repeat(np.arange(3), 40)
    encodings = (10 * np.eye(3, 16)[labels] + rng.normal(size=(120, 16))).astype(np.float32)
    points = pictures.umap_points(encodings, seed=1)
    assert points.shape == (120, 2)
    centres = np.array([points[labels == c].mean(axis=0) for c in range(3)])
    nearest = np.linalg.norm(points[:, None] - centres[None], axis=2).argmin(axis=1)
    assert (nearest == labels).all()
    assert np.array_equal(points, pictures.umap_points(encodings, seed=1))


def test_help_names_every_picture():
    words = in_process("plot", "--help").out.replace(",", " ").replace(".", " ").split()
    assert set(PICTURES) <= set(words)
