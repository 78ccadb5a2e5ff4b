"""Tables of labels: their headers and places, and how they go together with folders."""

import json
import unicodedata

import pytest

from lll.data import load_data
from lll.errors import UserError

FLAT = "1.png 2.png 3.png 4.png"


def with_table(root, text, name="labels.csv"):
    (root / name).write_bytes(text if isinstance(text, bytes) else text.encode())
    return root


def labels_of(data):
    return {
        id: data.class_names[label] if label >= 0 else ""
        for part in data.parts.values()
        for id, label in zip(part.ids.tolist(), part.labels, strict=True)
    }


EXPECTED = {"1.png": "cat", "2.png": "dog", "3.png": "", "4.png": ""}


@pytest.mark.parametrize("label", ["label", "Class", "category", "class_name", "Target"])
@pytest.mark.parametrize(
    "file", ["file_name", "image_path", "filename", "Image Path", "img", "image-file", "filepath"]
)
def test_headers_as_people_and_hubs_write_them(tmp_path, plant, file, label):
    text = f"{file},{label}\n1.png,cat\n2.png,dog\n"
    assert labels_of(load_data(with_table(plant(tmp_path / "d", FLAT), text))) == EXPECTED


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
def test_byte_order_marks(tmp_path, plant, encoding):
    text = 'file_name,label\n"1.png",käse\n2.png,dog\n'.encode(encoding)
    data = load_data(with_table(plant(tmp_path / "d", FLAT), text))
    assert labels_of(data) == EXPECTED | {"1.png": "käse"}


def test_metadata_in_lines_of_json(tmp_path, plant):
    rows = [
        {"file_name": "1.png", "label": "cat", "caption": ["a", "b"]},
        {"file_name": "2.png", "label": "dog", "split": "test"},
        {"file_name": "3.png", "label": None},
    ]
    root = plant(tmp_path / "d", FLAT)
    with_table(root, "\n".join(map(json.dumps, rows)) + "\n\n", "metadata.jsonl")
    data = load_data(root)
    assert labels_of(data) == EXPECTED
    assert data.test.ids.tolist() == ["2.png"]
    with_table(root, '{"file_name": "1.png", "label": 3}\n{"file_name', "metadata.jsonl")
    with pytest.raises(UserError, match=r"metadata\.jsonl line 2 is not JSON"):
        load_data(root)
    with_table(root, "[1]", "metadata.jsonl")
    with pytest.raises(UserError, match=r"metadata\.jsonl line 1 is not a JSON object"):
        load_data(root)


@pytest.mark.parametrize("name", ["metadata.csv", "metadata.jsonl"])
def test_a_table_in_each_split(tmp_path, plant, name):
    root = plant(tmp_path / "d", "train/1.png train/2.png train/3.png test/1.png")
    for split, rows in {
        "train": {"1.png": "cat", "2.png": "dog"},
        "test": {"1.png": "dog"},
    }.items():
        lines = [json.dumps({"file_name": file, "label": label}) for file, label in rows.items()]
        if name.endswith("csv"):
            lines = ["file_name,label", *(f"{file},{label}" for file, label in rows.items())]
        with_table(root / split, "\n".join(lines), name)
    data = load_data(root)
    assert labels_of(data) == {
        "train/1.png": "cat",
        "train/2.png": "dog",
        "train/3.png": "",
        "test/1.png": "dog",
    }
    assert data.test.ids.tolist() == ["test/1.png"]


FOLDERS = " ".join(f"{c}/{i}.png" for c in ("cat", "dog") for i in range(4))
BY_FOLDER = {path: path[:3] for path in FOLDERS.split()}


@pytest.mark.parametrize(
    ("text", "more"),
    [
        ("file,label\ncat/1.png,cat\n", {}),
        ("file,label\ncat/1.png,\ndog/1.png,dog\n", {}),
        ("file,label\ncat/1.png,\n", {}),
        ("file_name,caption\ncat/1.png,a grey cat\n", {}),
        ("file,label\n9.png,eel\ncat/1.png,cat\n", {"9.png": "eel", "8.png": ""}),
    ],
)
def test_a_table_and_class_folders_that_agree_are_combined(tmp_path, plant, text, more):
    root = with_table(plant(tmp_path / "d", " ".join([FOLDERS, *more])), text)
    assert labels_of(load_data(root)) == BY_FOLDER | more


def test_a_table_gives_class_folders_their_split(tmp_path, plant):
    text = "file,split\ncat/1.png,test\ndog/2.png,validation\n"
    data = load_data(with_table(plant(tmp_path / "d", FOLDERS), text))
    assert data.test.ids.tolist() == ["cat/1.png"]
    assert data.validation.ids.tolist() == ["dog/2.png"]
    assert len(data.train) == 6


@pytest.mark.parametrize(
    ("names", "text", "message"),
    [
        (
            FOLDERS,
            "file,label\ncat/1.png,cat\ncat/2.png,dog\ncat/3.png,dog\n",
            r"labels\.csv line 3 gives cat/2\.png the label 'dog', and its folder says 'cat': cor",
        ),
        (
            FOLDERS,
            "file,label\ncat/1.png,kitten\n",
            r"line 2 labels cat/1\.png 'kitten', .* cat/0\.png \(7 in all\) is not in the table",
        ),
        (
            "train/cat/1.png train/dog/2.png test/cat/3.png",
            "file,label,split\ntrain/cat/1.png,cat,test\n",
            r"line 2 gives train/cat/1\.png the split 'test', and its folder says 'train'",
        ),
        (
            "train/a/1.png train/b/2.png test/a/3.png",
            "file,label\ntrain/a/1.png,cat\ntrain/b/2.png,dog\n",
            r"test/a/3\.png \(1 in all\) is not in the table",
        ),
    ],
)
def test_a_table_and_folders_that_differ_are_refused(tmp_path, plant, names, text, message):
    with pytest.raises(UserError, match=message) as error:
        load_data(with_table(plant(tmp_path / "d", names), text))
    assert "\n" not in str(error.value)


def test_folders_that_only_store_are_no_classes(tmp_path, plant):
    text = "file,label\n2019/1.png,cat\n2019/2.png,\n2020/1.png,dog\n"
    data = load_data(with_table(plant(tmp_path / "d", "2019/1.png 2019/2.png 2020/1.png"), text))
    assert labels_of(data) == {"2019/1.png": "cat", "2019/2.png": "", "2020/1.png": "dog"}


def test_folders_of_splits_give_the_split_where_the_table_does_not(tmp_path, plant):
    text = "file,label\ntrain/1.png,cat\ntrain/2.png,dog\ntest/3.png,dog\n"
    data = load_data(with_table(plant(tmp_path / "d", "train/1.png train/2.png test/3.png"), text))
    assert data.test.ids.tolist() == ["test/3.png"]
    assert data.class_names == ("cat", "dog")


def test_tables_that_are_not_read_are_counted(tmp_path, plant):
    root = plant(tmp_path / "d", FOLDERS)
    with_table(root / "cat", "a,b\n1,2\n", "notes.csv")
    assert [(u.reason, u.count, u.first) for u in load_data(root).unused] == [
        ("a table in a sub-folder", 1, "cat/notes.csv")
    ]


@pytest.mark.parametrize(("on_disk", "in_table"), [("NFC", "NFD"), ("NFD", "NFC")])
def test_names_that_look_equal_match(tmp_path, plant, on_disk, in_table):
    one, other = (unicodedata.normalize(form, "café") for form in (on_disk, in_table))
    text = f"file,label\n{other}.png,{one}\n2.png,{other}\n3.png,dog\n{other}-4,dog\n"
    root = with_table(plant(tmp_path / "d", f"{one}.png 2.png 3.png {one}-4.png"), text)
    data = load_data(root)
    assert data.class_names == ("café", "dog")
    assert set(labels_of(data)) == {f"{one}.png", "2.png", "3.png", f"{one}-4.png"}
    folders = plant(tmp_path / "e", f"train/{one}/1.png train/b/2.png test/{other}/3.png")
    assert load_data(folders).class_names == ("b", "café")


def test_a_table_may_name_files_whose_names_are_not_utf8(tmp_path, make_image):
    root = tmp_path / "d"
    root.mkdir()
    for name in ("caf\udce9.png", "tea.png"):
        (root / name).write_bytes(make_image())
    with_table(root, "file,label\ncaf\\xe9.png,a\ntea.png,b\n")
    assert labels_of(load_data(root)) == {r"caf\xe9.png": "a", "tea.png": "b"}
