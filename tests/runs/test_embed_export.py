"""`lll embed` and `lll export`: what they write is what the run gives."""

import ast
import json

import numpy as np
import pyarrow.parquet as pq
import pytest
import torch
from PIL import Image
from tests.processes import everything, flags, in_process, one_line, write_npz
from tests.tiny import tiny_config, tiny_data
from torch import nn

from lll import UserError, load_run, train
from lll.runs import export
from lll.runs.card import card
from lll.runs.predict import encode, load_learner, predict_files


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    return write_npz(tmp_path_factory.mktemp("data") / "tiny.npz")


@pytest.fixture(scope="module")
def run(data, tmp_path_factory):
    path = tmp_path_factory.mktemp("runs") / "run"
    assert in_process("train", *flags(data), "--out", path, "--quiet").code == 0
    return load_run(path)


@pytest.fixture(scope="module")
def table(run, data, tmp_path_factory):
    out = tmp_path_factory.mktemp("out") / "rows.parquet"
    ended = in_process("embed", run.path, data, "--out", out)
    assert ended.code == 0, ended.err
    assert ended.out == f"160 embeddings of 8 features in {out}\n"
    return pq.read_table(out)


# --- embed ------------------------------------------------------------------------------------


def test_rows_are_the_images_of_the_data(table):
    data = tiny_data()
    assert table.column_names == ["id", "split", "embedding", "predicted", "probability", "label"]
    assert len(set(table["id"].to_pylist())) == 160
    assert table["split"].to_pylist() == ["train"] * 120 + ["test"] * 40
    labels = np.concatenate([data.train.labels, data.test.labels])
    assert table["label"].to_pylist() == [data.class_names[at] for at in labels]


def test_embeddings_and_predictions_are_those_of_the_chosen_checkpoint(run, table):
    encoded = encode(load_learner(run), torch.from_numpy(tiny_data().test.images))
    rows = table.slice(120)
    found = np.array(rows["embedding"].to_pylist(), np.float32)
    assert table.schema.field("embedding").type.list_size == 8
    # Images are encoded in other batches here, so sums come in another order.
    np.testing.assert_allclose(found, encoded.encodings, rtol=1e-4, atol=1e-5)
    best = encoded.probabilities.argmax(axis=1)
    assert rows["predicted"].to_pylist() == [run.data.class_names[at] for at in best]
    np.testing.assert_allclose(
        rows["probability"].to_numpy(), encoded.probabilities.max(axis=1), atol=1e-5
    )


def test_another_checkpoint_gives_other_embeddings(run, data, table, tmp_path):
    out = tmp_path / "rows.parquet"
    name = (
        "epoch-0003" if "epoch-0004" in (run.path / "checkpoints/chosen").read_text() else "latest"
    )
    assert in_process("embed", run.path, data, "--out", out, "--checkpoint", name).code == 0
    assert pq.read_table(out)["embedding"] != table["embedding"]


def test_unlabelled_images_of_a_data_set_have_no_label(run, tmp_path):
    data = tiny_data()
    labels = np.where(np.arange(120) % 3 == 0, -1, data.train.labels)
    arrays = {"images": data.train.images, "labels": labels, "class_names": np.array([*"abcd"])}
    np.savez(tmp_path / "some.npz", **arrays)
    rows = export.read_rows(str(tmp_path / "some.npz"), 32)
    assert rows.labels.count(None) == 40
    assert export.embed(run, rows)["label"].null_count == 40


@pytest.fixture
def pictures(tmp_path):
    """A plain folder: images beside a folder of more, one broken."""
    folder = tmp_path / "pictures"
    (folder / "more").mkdir(parents=True)
    for i, image in enumerate(tiny_data().test.images[::8]):
        Image.fromarray(image).save(folder / ("more" if i % 2 else "") / f"{i}.png")
    (folder / "broken.png").write_bytes(b"no picture")
    return folder


def test_a_plain_folder_of_images_has_neither_split_nor_label(run, pictures, tmp_path):
    out = tmp_path / "rows.parquet"
    ended = in_process("embed", run.path, pictures, "--out", out)
    assert ended.code == 0
    one_line(ended.err, "images skipped: 1", "broken.png")
    rows = pq.read_table(out)
    assert rows["id"].to_pylist() == ["0.png", "2.png", "4.png", "more/1.png", "more/3.png"]
    assert rows["split"].null_count == rows["label"].null_count == 5
    predictions, *_ = predict_files(run, [pictures])
    assert rows["predicted"].to_pylist() == [p.class_name for p in predictions]


def test_class_folders_are_a_data_set(run, tmp_path):
    for i, image in enumerate(tiny_data().test.images):
        folder = tmp_path / "data" / "abcd"[i // 10]
        folder.mkdir(parents=True, exist_ok=True)
        Image.fromarray(image).save(folder / f"{i}.png")
    rows = export.read_rows(str(tmp_path / "data"), 32, test_share=0.2)
    assert sorted(rows.labels) == sorted("abcd" * 10)
    assert set(rows.splits) == {"train", "test"}


def test_what_cannot_be_embedded_is_refused_in_one_line(run, data, pictures, tmp_path):
    for image in pictures.rglob("[0-9].png"):
        image.unlink()
    before = everything(tmp_path)
    for words, message in (
        ((pictures, "--out", tmp_path / "o.parquet"), "no image to embed (1 could not be read)"),
        ((data, "--out", tmp_path / "no" / "o.parquet"), "its folder does not exist"),
        ((data, "--out", tmp_path), "is a folder"),
        ((tmp_path / "nowhere.npz", "--out", tmp_path / "o.parquet"), "does not exist"),
        ((data, "--out", tmp_path / "o.parquet", "--checkpoint", "epoch-0099"), "epoch-0099"),
    ):
        ended = in_process("embed", run.path, *words)
        assert ended.code == 2
        one_line(ended.err.splitlines(keepends=True)[-1], message)
    assert everything(tmp_path) == before


# --- export -----------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def exported(run, tmp_path_factory):
    pytest.importorskip("onnxscript")
    pytest.importorskip("onnxruntime")
    path = tmp_path_factory.mktemp("onnx") / "net.onnx"
    ended = in_process("export", run.path, "--onnx", path)
    assert ended.code == 0, ended.err
    return ended, path


def test_onnxruntime_gives_what_torch_gives_for_any_number_of_images(run, exported):
    import onnxruntime

    session = onnxruntime.InferenceSession(exported[1], providers=["CPUExecutionProvider"])
    assert [i.name for i in session.get_inputs()] == ["images"]
    assert session.get_inputs()[0].shape == ["n", 3, 32, 32]
    assert [o.name for o in session.get_outputs()] == ["logits", "probabilities", "encodings"]
    for count in (1, 3, 40):
        images = tiny_data().test.images[:count]
        expected = encode(load_learner(run), torch.from_numpy(images))
        floats = images.transpose(0, 3, 1, 2).astype(np.float32) / 255
        logits, probabilities, encodings = session.run(None, {"images": floats})
        np.testing.assert_allclose(probabilities, expected.probabilities, atol=1e-4)
        np.testing.assert_allclose(encodings, expected.encodings, atol=1e-4)
        assert (logits.argmax(axis=1) == probabilities.argmax(axis=1)).all()


def test_the_file_says_how_it_is_used(run, exported, monkeypatch):
    import onnxruntime

    ended, path = exported
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    told = session.get_modelmeta().custom_metadata_map
    assert json.loads(told["class_names"]) == list(run.data.class_names)
    assert ast.literal_eval(told["names"]) == dict(enumerate(run.data.class_names))
    assert told["image_size"] == "32"
    assert told["model_card"] == card(run)
    first, *note = ended.out.splitlines()
    assert first.startswith(f"written to {path}: onnxruntime is within ")
    assert note == told["usage"].splitlines()
    assert len(note) == 2
    monkeypatch.chdir(path.parent)
    images = np.zeros((2, 3, 32, 32), np.float32)
    (probabilities,) = eval(note[1], {"onnxruntime": onnxruntime, "images": images})
    np.testing.assert_allclose(probabilities.sum(axis=1), 1, rtol=1e-5)


def test_without_the_extra_a_line_says_what_to_install(run, tmp_path, monkeypatch):
    monkeypatch.setattr(export, "find_spec", lambda name: None)
    ended = in_process("export", run.path, "--onnx", tmp_path / "net.onnx")
    assert ended.code == 2
    one_line(ended.err, "pip install 'little-label-learners[onnx]'")
    assert not list(tmp_path.iterdir())


def test_a_file_that_differs_from_torch_is_not_written(run, exported, tmp_path, monkeypatch):
    import onnx
    from onnx import numpy_helper

    model = onnx.load(exported[1])
    (bias,) = (part for part in model.graph.initializer if part.name.endswith("probe.bias"))
    bias.CopyFrom(numpy_helper.from_array(numpy_helper.to_array(bias) + 1e-3, bias.name))
    monkeypatch.setattr(export, "to_onnx", lambda network, size: model)
    with pytest.raises(UserError, match="differs from torch"):
        export.export_onnx(run, tmp_path / "net.onnx")
    assert not list(tmp_path.iterdir())


class OfTwoMinds(nn.Module):
    """Does another thing for each image, which no exporter can write down."""

    def __init__(self) -> None:
        super().__init__()
        self.dense = nn.Linear(3, 4)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        encodings = self.dense(images.mean(dim=(2, 3)))
        return encodings * 2 if float(encodings.sum().detach()) > 0 else encodings


def test_an_encoder_that_cannot_be_exported_is_refused_with_the_reason(tmp_path):
    pytest.importorskip("onnxscript")
    config = tiny_config(epochs=1, method="baseline")
    run = train(config, tmp_path / "run", data=tiny_data(), encoder=OfTwoMinds())
    with pytest.raises(UserError, match="cannot be exported to ONNX: Could not") as refused:
        export.export_onnx(run, tmp_path / "net.onnx", encoder=OfTwoMinds())
    assert "\n" not in str(refused.value)
    with pytest.raises(UserError, match="pass it as encoder="):
        export.export_onnx(run, tmp_path / "net.onnx")
    assert not (tmp_path / "net.onnx").exists()


def test_nan_is_refused(run):
    rows = export.read_rows("digits", 32)
    learner = load_learner(run)
    learner.parts["encoder"][0].bias.data.fill_(torch.nan)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(export, "load_learner", lambda *given, **named: learner)
        with pytest.raises(UserError, match="1797 of 1797 hold NaN"):
            export.embed(run, rows)
