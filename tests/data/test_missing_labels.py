"""What means no label, wherever labels come from; what may mean a class too is refused."""

import csv

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from tests.data.conftest import _make_image

from lll.data import from_arrays, load_data
from lll.errors import UserError
from lll.estimator.labels import split_labels
from lll.labels.missing import labels_of, signed

IMAGES = np.zeros((6, 32, 32, 3), np.uint8)


def from_list(folder, labels):
    return from_arrays(IMAGES, labels, test_share=0)


def from_objects(folder, labels):
    return from_arrays(IMAGES, np.array(labels, dtype=object), test_share=0)


def from_npz(folder, labels):
    np.savez(folder / "d.npz", images=IMAGES, labels=np.array(labels))
    return load_data(folder / "d.npz", test_share=0)


def from_csv(folder, labels):
    with (folder / "labels.csv").open("w", newline="") as file:
        csv.writer(file).writerows(
            [("file", "label"), *((f"{i}.png", x) for i, x in enumerate(labels))]
        )
    for i in range(6):
        (folder / f"{i}.png").write_bytes(_make_image(i))
    return load_data(folder, test_share=0)


def from_parquet(folder, labels):
    pq.write_table(pa.table({"image": [_make_image()] * 6, "label": labels}), folder / "d.parquet")
    return load_data(folder / "d.parquet", test_share=0)


SOURCES = [from_list, from_objects, from_npz, from_csv, from_parquet]


@pytest.mark.parametrize("load", SOURCES)
@pytest.mark.parametrize(
    "missing", ["", "-1", "-1.0", "nan", "NaN", "<NA>", "#N/A", "unlabelled", "Unlabeled"]
)
def test_text_that_can_only_mean_no_label(tmp_path, load, missing):
    data = load(tmp_path, ["cat", "dog", missing, "cat", missing, "dog"])
    assert data.class_names == ("cat", "dog")
    assert data.train.labels.tolist() == [0, 1, -1, 0, -1, 1]


@pytest.mark.parametrize("load", SOURCES)
@pytest.mark.parametrize("text", ["None", "none", "NA", "n/a", "NULL", "Nan"])
def test_text_that_may_be_a_class_is_refused(tmp_path, load, text):
    with pytest.raises(UserError, match=rf"label '{text}' may be a class or mean .* leave it"):
        load(tmp_path, ["cat", "dog", text, "cat", "dog", "dog"])


def test_declared_classes_are_classes():
    labels = ["none", "NA", "nan", "none", "", "none"]
    data = from_arrays(IMAGES, labels, class_names=["nan", "none", "NA"], test_share=0)
    assert data.train.labels.tolist() == [1, 2, 0, 1, -1, 1]
    assert labels_of(["none"], "here", {"none"}) == ["none"]


def test_folders_are_classes_by_their_name(tmp_path, plant):
    data = load_data(plant(tmp_path / "d", "none/1.png NA/2.png -1/3.png"), test_share=0)
    assert data.class_names == ("NA", "none")
    assert data.train.labels.tolist() == [-1, 0, 1]


@pytest.mark.parametrize("nothing", [None, np.nan, -1])
@pytest.mark.parametrize(("one", "two"), [("cat", "dog"), (3, 7), (3.0, 7.0)])
def test_objects_that_mean_no_label(one, two, nothing):
    labels = np.array([one, two, nothing, one, nothing, two], dtype=object)
    assert from_arrays(IMAGES, labels, test_share=0).train.labels.tolist() == [0, 1, -1, 0, -1, 1]
    if not isinstance(one, float):
        known, mask = split_labels(labels)
        assert (known.tolist(), mask.tolist()) == ([one, two, one, two], [1, 1, 0, 1, 0, 1])


def test_not_a_number_is_unlabelled():
    labels = [0, 1, np.nan, 1, np.nan, 0]
    assert from_arrays(IMAGES, labels, test_share=0).train.labels.tolist() == [0, 1, -1, 1, -1, 0]


@pytest.mark.parametrize("kind", [np.uint8, np.uint16, np.uint32, np.uint64])
@pytest.mark.parametrize("load", [from_list, from_parquet, from_npz])
def test_minus_one_written_into_unsigned_numbers(tmp_path, load, kind):
    labels = np.array([0, 1, -1, 1, -1, 0]).astype(kind)
    data = load(tmp_path, labels)
    assert data.class_names == ("0", "1")
    assert data.train.labels.tolist() == [0, 1, -1, 1, -1, 0]
    assert split_labels(labels)[1].tolist() == [1, 1, 0, 1, 0, 1]


def test_the_largest_unsigned_number_may_be_a_class():
    every = np.arange(256).astype(np.uint8)
    assert signed(every, "here").tolist() == list(range(256))
    assert signed(every[-2:], "here", classes=300).tolist() == [254, 255]
    assert signed(every[-2:], "here", classes=255).tolist() == [254, -1]
    for ambiguous in ([0, 255], [0, 128, 255], [254, 255]):
        with pytest.raises(UserError, match="here: label 255, the largest that uint8 holds, may"):
            signed(np.array(ambiguous, np.uint8), "here")


@pytest.mark.parametrize("labels", [["a", "b", "-1", "a"], ["a", "b", "nan", "a"]])
def test_the_estimator_agrees(labels):
    known, mask = split_labels(labels)
    assert (known.tolist(), mask.tolist()) == (["a", "b", "a"], [True, True, False, True])
    with pytest.raises(UserError, match="y: label 'None' may be a class"):
        split_labels(["a", "None"])
