"""`lll embed` with a pretrained encoder and no run, and `lll encoders`."""

import json
import shutil

import numpy as np
import pyarrow.parquet as pq
import pytest
from PIL import Image
from tests.photos import write_photos
from tests.processes import in_process, one_line, write_npz

from lll.learn.features import encode
from lll.nets.frozen import frozen_encoder


@pytest.fixture(scope="module")
def photos(tmp_path_factory):
    return write_photos(tmp_path_factory.mktemp("photos"), 3, unlabelled=1)


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("LLL_CACHE", str(tmp_path / "cache"))


def embed(*words):
    ended = in_process("embed", *words, "--encoder", "efficientnet_lite2")
    assert ended.code == 0, ended.err
    return ended


def test_photos_without_a_run(photos, tmp_path):
    out = tmp_path / "f.parquet"
    assert embed(photos, "--out", out).out == f"13 embeddings of 1936 features in {out}\n"
    table = pq.read_table(out)
    assert table.column_names == ["id", "split", "embedding", "label"]
    assert table["id"].to_pylist()[:2] == ["ball/000.jpg", "ball/001.jpg"]
    assert table["label"].null_count == 1 and set(table["split"].to_pylist()) == {"train"}
    # The features are those of the middle square of the photo, shrunk.
    with Image.open(photos / "ball" / "000.jpg") as photo:
        photo.draft(None, (256, 256))
        middle = photo.resize((128, 128), Image.Resampling.BICUBIC, box=_middle(photo.size))
    expected = encode(np.asarray(middle)[None], frozen_encoder("efficientnet_lite2"))[0]
    found = np.array(table["embedding"][0].as_py())
    assert np.linalg.norm(found - expected) < 0.1 * np.linalg.norm(expected)
    moved = tmp_path / "moved"  # another folder of which each photo is known
    shutil.copytree(photos / "ladder", moved / "steps")
    (moved / "rungs").mkdir()
    (moved / "steps" / "000.jpg").rename(moved / "rungs" / "0.jpg")
    assert "encoding" not in embed(moved, "--out", out).err


def _middle(size):
    width, height = size
    left, top = max(width - height, 0) / 2, max(height - width, 0) / 2
    return left, top, width - left, height - top


def test_size_and_resize_can_be_chosen(photos, tmp_path):
    out = tmp_path / "f.parquet"
    rows = []
    for more in ((), ("--image-size", 64), ("--resize", "squash")):
        embed(photos, "--out", out, *more)
        rows.append(np.array(pq.read_table(out)["embedding"].to_pylist()))
    assert not np.allclose(rows[0], rows[1], atol=0.1)
    assert not np.allclose(rows[0], rows[2], atol=0.1)


def test_wrong_use_is_one_line(photos, tmp_path):
    data, out = write_npz(tmp_path / "tiny.npz"), ("--out", tmp_path / "o.parquet")
    (tmp_path / "w.pth").write_bytes(b"")
    lite = ("--encoder", "efficientnet_lite2")
    for words, message in (
        ((data,), "needs a run or an encoder"),
        ((tmp_path, data, *lite), "takes a run or an encoder, not both"),
        ((data, "--encoder", "lite2"), "unknown encoder 'lite2': choose one of convnet"),
        ((data, "--encoder", "convnet"), "has no pretrained weights: give --weights FILE"),
        ((data, *lite, "--image-size", 8), "image_size 8 is too small for encoder"),
        ((data, *lite, "--resize", "fit"), "unknown resize 'fit'"),
        ((data, *lite, "--weights", tmp_path / "w.pth"), "w.pth is neither safetensors nor"),
        ((data, *lite, "--weights", tmp_path / "no.pth"), "no.pth: the weights cannot be read"),
        ((tmp_path / "nowhere", *lite), "does not exist"),
    ):
        ended = in_process("embed", *words, *out)
        assert ended.code == 2
        one_line(ended.err.splitlines(keepends=True)[-1], message)
    assert not out[1].exists()


def test_a_cache_that_is_a_file_is_one_line(photos, tmp_path):
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "features").write_text("in the way")
    words = (photos, "--encoder", "efficientnet_lite2", "--cache", tmp_path / "full")
    ended = in_process("embed", *words, "--out", tmp_path / "o.parquet")
    assert ended.code == 2
    one_line(ended.err.splitlines(keepends=True)[-1], "no features can be kept there")


def test_encoders_are_listed():
    listed = in_process("encoders").out
    assert "efficientnet_lite2: 128 pixels (32 to 1024), 1936 features, pretrained" in listed
    assert "[timm]" in listed
    rows = [json.loads(line) for line in in_process("encoders", "--json").out.splitlines()]
    assert [row["name"] for row in rows] == [
        "convnet",
        "resnet18",
        "wrn-28-2",
        "efficientnet_lite2",
    ]
    assert rows[3]["pretrained"] and rows[3]["sizes"] == [32, 1024]
