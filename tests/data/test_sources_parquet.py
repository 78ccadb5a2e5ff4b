"""Parquet in the Hugging Face layout."""

import json
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from lll.data import load_data
from lll.errors import UserError

REAL = Path(__file__).parents[2].parent / "shared" / "data" / "cifar10-jpeg"
IMAGE = pa.struct([("bytes", pa.binary()), ("path", pa.string())])


def features(names, label="label"):
    info = {"features": {label: {"names": names, "_type": "ClassLabel"}}}
    return {"huggingface": json.dumps({"info": info})}


@pytest.fixture
def write(make_image):
    def write(path, labels, *, names=None, column="label", kind=None, plain=False, images=None):
        """A file of images whose red is the row's number."""
        cells = images or [make_image(i) for i in range(len(labels))]
        if not plain:
            cells = [{"bytes": cell, "path": None} for cell in cells]
        table = pa.table(
            {
                "extra": pa.array(range(len(labels))),
                "image": pa.array(cells, pa.binary() if plain else IMAGE),
                column: pa.array(labels, kind),
            }
        )
        if names:
            table = table.replace_schema_metadata(features(names, column))
        path.parent.mkdir(exist_ok=True)
        pq.write_table(table, path, row_group_size=4)
        return path

    return write


def reds(part):
    return part.images[:, 0, 0, 0].tolist()


def test_files_of_a_folder_are_the_splits(tmp_path, write):
    names = ["cat", "dog", "eel"]
    write(tmp_path / "d" / "train-00000-of-00002.parquet", [0, 1, -1, None], names=names)
    write(tmp_path / "d" / "train-00001-of-00002.parquet", [2], names=names)
    write(tmp_path / "d" / "test-00000-of-00001.parquet", [1, 0], names=names)
    data = load_data(tmp_path / "d")
    assert data.name == "d"
    assert data.class_names == ("cat", "dog", "eel")
    assert data.train.labels.tolist() == [0, 1, -1, -1, 2]
    assert data.train.ids.tolist() == [f"train/{i:05d}" for i in range(5)]
    assert reds(data.train) == [0, 1, 2, 3, 0]
    assert data.test.labels.tolist() == [1, 0]


def test_files_may_lie_in_a_data_folder(tmp_path, write):
    write(tmp_path / "data" / "train-0.parquet", [0, 0, 1, 1])
    assert len(load_data(tmp_path).train) == 4


def test_validation_files_are_the_validation_images(tmp_path, write):
    write(tmp_path / "d" / "train-0.parquet", [0, 1] * 5)
    write(tmp_path / "d" / "validation-0.parquet", [1])
    write(tmp_path / "d" / "test-0.parquet", [-1])  # as competitions publish theirs
    data = load_data(tmp_path / "d")
    assert data.validation.ids.tolist() == ["validation/00000"]
    assert "test/00000" in data.train.ids
    assert len(data.test) == 2  # a share, as no test image has a label


@pytest.mark.parametrize("name", ["0000.parquet", "test-0.parquet"])
def test_a_lone_file_gives_a_test_share(tmp_path, write, name):
    path = write(tmp_path / "d" / name, [0, 1] * 10)
    data = load_data(path)
    assert (len(data.train), len(data.test)) == (16, 4)


@pytest.mark.parametrize(
    ("labels", "kind", "classes", "expected"),
    [
        ([7, 3, -1, None], pa.int64(), ("3", "7"), [1, 0, -1, -1]),
        ([7, 3, 7, None], pa.uint8(), ("3", "7"), [1, 0, 1, -1]),
        (["b", "a", "", None], pa.string(), ("a", "b"), [1, 0, -1, -1]),
        (["b", "a"], pa.dictionary(pa.int32(), pa.string()), ("a", "b"), [1, 0]),
    ],
)
def test_labels_without_names(tmp_path, write, labels, kind, classes, expected):
    data = load_data(write(tmp_path / "d.parquet", labels, kind=kind), test_share=0)
    assert data.class_names == classes
    assert data.train.labels.tolist() == expected


@pytest.mark.parametrize("column", ["label", "labels", "fine_label"])
def test_label_columns_and_plain_bytes(tmp_path, write, column):
    path = write(tmp_path / "d.parquet", [1, 0], names=["x", "y"], column=column, plain=True)
    data = load_data(path, test_share=0)
    assert data.class_names == ("x", "y")
    assert data.train.labels.tolist() == [1, 0]


def test_bad_rows_are_skipped_and_ids_stay(tmp_path, write, make_image):
    images = [make_image(0), b"nothing", None, make_image(3)]
    path = write(tmp_path / "d.parquet", [0, 0, 0, 0], images=images)
    data = load_data(path, test_share=0)
    assert data.train.ids.tolist() == ["train/00000", "train/00003"]
    assert [s.path for s in data.skipped] == ["d.parquet row 1", "d.parquet row 2"]
    with pytest.raises(UserError, match=r"^d\.parquet row 1 cannot be read"):
        load_data(path, strict=True)


def test_more_rows_than_a_batch(tmp_path, write, make_image):
    count = 2500
    images = [make_image(i % 250, (4, 4)) for i in range(count)]
    path = write(tmp_path / "d.parquet", [i % 250 for i in range(count)], images=images)
    data = load_data(path, test_share=0, image_size=4)
    np.testing.assert_array_equal(reds(data.train), np.arange(count) % 250)
    np.testing.assert_array_equal(data.train.labels, np.arange(count) % 250)
    assert data.train.ids[-1] == "train/02499"


def test_mistakes_are_named(tmp_path, write):
    one = tmp_path / "one.parquet"
    with pytest.raises(UserError, match=r"row 1 has label 5, .* one of the 2 classes"):
        load_data(write(one, [0, 5], names=["a", "b"]))
    with pytest.raises(UserError, match="label -2"):
        load_data(write(one, [0, -2]))
    with pytest.raises(UserError, match=r"no column label or labels or class \(it has extra"):
        load_data(write(one, [0], column="kind"))
    with pytest.raises(UserError, match=r"column 'label' is double"):
        load_data(write(one, [0.5]))
    with pytest.raises(UserError, match="duplicate class name 'a'"):
        load_data(write(one, [0], names=["a", "a"]))
    with pytest.raises(UserError, match="has no label at all"):
        load_data(write(one, [None, None], kind=pa.int64()))
    pq.write_table(pa.table({"image": ["x.png"], "label": [0]}), one)
    with pytest.raises(UserError, match=r"row 0: the row names the file 'x\.png'"):
        load_data(one)
    table = pa.table({"image": [b"x"], "label": [0]})
    pq.write_table(table.replace_schema_metadata({"huggingface": "[oops"}), one)
    with pytest.raises(UserError, match="metadata is damaged"):
        load_data(one)
    pq.write_table(table.slice(0, 0), one)
    with pytest.raises(UserError, match="has no rows"):
        load_data(one)
    one.write_bytes(b"PAR1 nothing")
    with pytest.raises(UserError, match=r"one\.parquet is not a readable Parquet file"):
        load_data(one)


def test_folder_mistakes_are_named(tmp_path, write):
    write(tmp_path / "d" / "train-0.parquet", [0, 1], names=["a", "b"])
    write(tmp_path / "d" / "test-0.parquet", [0], names=["b", "a"])
    with pytest.raises(UserError, match="names other classes than"):
        load_data(tmp_path / "d")
    write(tmp_path / "d" / "test-0.parquet", [0], names=["a", "b"])
    write(tmp_path / "d" / "extra-0.parquet", [0], names=["a", "b"])
    with pytest.raises(UserError, match=r"extra-0\.parquet does not say its split"):
        load_data(tmp_path / "d")


def test_a_folder_of_test_files_only_is_refused(tmp_path, write):
    write(tmp_path / "d" / "test-0.parquet", [0, 1])
    with pytest.raises(UserError, match="test images only"):
        load_data(tmp_path / "d")


@pytest.mark.skipif(
    not REAL.is_dir(), reason=f"no {REAL.parent.name}/{REAL.name} beside the checkout"
)
def test_the_real_test_file():
    data = load_data(REAL / "test-00000-of-00001.parquet", test_share=0)
    assert data.class_names[0] == "airplane"
    assert data.train.images.shape == (10_000, 32, 32, 3)
    assert np.bincount(data.train.labels).tolist() == [1000] * 10
    assert data.skipped == ()
