"""Parquet as the Hugging Face hub has it: places, columns, schemas, images beside the files."""

import json
import zipfile

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from lll.data import load_data
from lll.errors import UserError

IMAGE = pa.struct([("bytes", pa.binary()), ("path", pa.string())])


@pytest.fixture
def write(make_image):
    def write(path, labels, *, image="image", label="label", names=None, cells=None, typed=True):
        """A file as ``datasets`` writes them; images are red by their row's number."""
        cells = cells or [{"bytes": make_image(i), "path": None} for i in range(len(labels))]
        kind = IMAGE if isinstance(cells[0], dict) else None
        table = pa.table({"note": labels, image: pa.array(cells, kind), label: labels})
        info = {
            image: {"_type": "Image"},
            label: {"names": names, "_type": "ClassLabel"} if names else {"_type": "Value"},
        }
        if typed:
            text = json.dumps({"info": {"features": info}})
            table = table.replace_schema_metadata({"huggingface": text})
        path.parent.mkdir(parents=True, exist_ok=True)
        pq.write_table(table, path)
        return path

    return write


@pytest.mark.parametrize(
    ("train", "test"),
    [
        ("train-0.parquet", "test-0.parquet"),
        ("data/train-00000-of-00001.parquet", "data/test-00000-of-00001.parquet"),
        ("plain_text/train-00000.parquet", "plain_text/test-00000.parquet"),
        ("default/train/0000.parquet", "default/test/0000.parquet"),
        ("train/0000.parquet", "test/0000.parquet"),
        ("data/train/part-1.parquet", "data/test/part-1.parquet"),
    ],
)
def test_places_of_the_hub(tmp_path, write, train, test):
    write(tmp_path / train, [0, 1, 0], names=["cat", "dog"])
    write(tmp_path / test, [1, 0], names=["cat", "dog"])
    (tmp_path / "README.md").write_text("a card")
    data = load_data(tmp_path)
    assert data.train.ids.tolist() == ["train/00000", "train/00001", "train/00002"]
    assert data.test.ids.tolist() == ["test/00000", "test/00001"]
    assert data.class_names == ("cat", "dog")


def test_a_folder_of_several_configurations_is_refused(tmp_path, write):
    for name in ("small", "large"):
        write(tmp_path / name / "train-0.parquet", [0, 1])
    with pytest.raises(UserError, match="Parquet files in large, small, which are several data s"):
        load_data(tmp_path)
    assert load_data(tmp_path / "small", test_share=0).train.labels.tolist() == [0, 1]


@pytest.mark.parametrize("image", ["image", "img", "picture", "Image", "photo", "pixel data"])
@pytest.mark.parametrize("label", ["label", "class", "Category", "fine_label", "species"])
def test_columns_by_their_name_or_their_type(tmp_path, write, image, label):
    path = write(tmp_path / "d.parquet", [0, 1], image=image, label=label, names=["a", "b"])
    assert load_data(path, test_share=0).train.labels.tolist() == [0, 1]


def test_columns_of_no_known_name_or_type_are_named(tmp_path, write):
    path = write(tmp_path / "d.parquet", [0, 1], image="x", typed=False)
    with pytest.raises(UserError, match=r"no column image or img or picture \(it has note, x, lab"):
        load_data(path)


def test_class_names_that_no_row_uses_are_left_out(tmp_path, write):
    path = write(tmp_path / "d.parquet", [3, 1, -1, 3], names=["a", "b", "c", "d"])
    data = load_data(path, test_share=0)
    assert data.class_names == ("b", "d")
    assert data.train.labels.tolist() == [1, 0, -1, 1]


def test_a_class_whose_images_are_all_damaged_is_named(tmp_path, write, make_image):
    cells = [{"bytes": data, "path": None} for data in (make_image(), b"x", b"y", make_image())]
    path = write(tmp_path / "d.parquet", [0, 1, 1, 0], names=["a", "b"], cells=cells)
    message = r"class 'b' has no readable image: all 2 were skipped \(first d.parquet row 1: not"
    with pytest.raises(UserError, match=message):
        load_data(path)


@pytest.mark.parametrize("struct", [True, False])
def test_rows_may_name_files(tmp_path, write, plant, struct):
    plant(tmp_path / "d", "data/a.png data/b.png images/c.png left.png")
    names = ["a.png", "b.png", "images/c.png", "../d.png"]
    cells = [{"bytes": None, "path": name} for name in names] if struct else names
    write(tmp_path / "d" / "data" / "train-0.parquet", [0, 1, 1, 0], cells=cells)
    data = load_data(tmp_path / "d", test_share=0)
    assert data.train.images[:, 0, 0, 0].tolist() == [0, 1, 2]
    assert [(s.path, s.reason) for s in data.skipped] == [
        ("train-0.parquet row 3", f"'../d.png' is not an image in {tmp_path / 'd'}")
    ]
    assert [(u.reason, u.count, u.first) for u in data.unused] == [
        ("an image that no row of the Parquet files names", 1, "left.png")
    ]
    with pytest.raises(UserError, match=r"the row names the file 'a.png': give the folder, not"):
        load_data(tmp_path / "d" / "data" / "train-0.parquet")


def test_other_parquet_beside_class_folders_is_not_used(tmp_path, plant):
    root = plant(tmp_path / "d", "a/1.png b/2.png")
    pq.write_table(pa.table({"id": ["a/1.png"], "embedding": [[0.5]]}), root / "e.parquet")
    data = load_data(root)
    assert data.class_names == ("a", "b")
    assert [u.first for u in data.unused] == ["e.parquet"]


def test_parquet_in_a_zip_is_refused(tmp_path, write):
    with zipfile.ZipFile(tmp_path / "d.zip", "w") as out:
        out.write(write(tmp_path / "train-0.parquet", [0, 1]), "train-0.parquet")
    with pytest.raises(UserError, match=r"d\.zip: Parquet files in a zip are not read: unpack it"):
        load_data(tmp_path / "d.zip")
