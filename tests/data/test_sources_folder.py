"""Folders of class folders, and folders with a CSV."""

import numpy as np
import pytest

from lll.data import describe, load_data
from lll.errors import UserError
from lll.words import csv_text

TEN = " ".join(f"{c}/{i}.png" for c in ("cat", "dog") for i in range(10))


def test_sub_folders_are_classes(tmp_path, plant):
    root = plant(tmp_path / "pets", TEN)
    data = load_data(root)
    assert data.name == "pets"
    assert data.class_names == ("cat", "dog")
    assert (len(data.train), len(data.test)) == (16, 4)
    assert set(data.train.ids) | set(data.test.ids) == set(TEN.split())
    for part in (data.train, data.test):
        for id, label in zip(part.ids, part.labels, strict=True):
            assert data.class_names[label] == id.split("/")[0]


def test_split_stays_when_images_join(tmp_path, plant):
    before = load_data(plant(tmp_path / "a", TEN))
    after = load_data(plant(tmp_path / "b", TEN + " eel/1.png eel/2.png"))
    assert set(before.test.ids) <= set(after.test.ids)


def test_suffixes_hidden_files_and_nested_folders(tmp_path, plant, make_image):
    root = plant(tmp_path / "d", "a/1.png a/deep/2.png b/3.png a/.hidden.png .git/x.png")
    (root / "a" / "4.JPG").write_bytes(make_image(4, kind="JPEG"))
    (root / "a" / "notes.txt").write_text("no image")
    (root / "README.md").write_text("no image")
    data = load_data(root, test_share=0)
    assert set(data.train.ids) == {"a/1.png", "a/deep/2.png", "a/4.JPG", "b/3.png"}
    assert data.skipped == ()


@pytest.mark.parametrize("name", ["unlabelled", "Unlabeled", "UNLABELLED"])
def test_unlabelled_folder_always_trains(tmp_path, plant, name):
    root = plant(tmp_path / "d", f"{TEN} {name}/1.png {name}/sub/2.png")
    data = load_data(root, test_share=0.5)
    assert data.class_names == ("cat", "dog")
    assert set(data.train.ids[data.train.labels == -1]) == {f"{name}/1.png", f"{name}/sub/2.png"}
    assert describe(data)["unlabelled"] == 2


def test_train_and_test_folders_are_the_split(tmp_path, plant):
    names = "train/a/1.png train/b/2.png train/unlabelled/3.png test/b/4.png unlabelled/5.png"
    data = load_data(plant(tmp_path / "d", names))
    assert data.test.ids.tolist() == ["test/b/4.png"]
    assert data.class_names[data.test.labels[0]] == "b"
    assert dict(zip(data.train.ids, data.train.labels, strict=True)) == {
        "train/a/1.png": 0,
        "train/b/2.png": 1,
        "train/unlabelled/3.png": -1,
        "unlabelled/5.png": -1,
    }


def test_a_lone_train_folder_gives_a_test_share(tmp_path, plant):
    names = " ".join(f"train/{c}/{i}.png" for c in "ab" for i in range(5))
    assert len(load_data(plant(tmp_path / "d", names)).test) == 2


@pytest.mark.parametrize(
    ("names", "message"),
    [
        ("a/1.png b/", r"/b is a class with no image: add images or remove it"),
        ("train/a/1.png train/b/ test/a/2.png", r"/train/b is a class with no image"),
        ("a/1.png 2.png", r"2\.png \(1 in all\) is in no class folder"),
        ("1.png", r"is in no class folder.*CSV"),
        ("train/a/1.png test/2.png", r"test/2\.png .* is in no class folder"),
        ("train/a/1.png test/", r"/test has no sub-folder"),
        ("train/a/1.png test/b/1.png", r"class 'b' is in test and not in train"),
        ("", "has no sub-folder"),
        ("unlabelled/1.png", "has no label at all"),
    ],
)
def test_a_folder_that_says_too_little_is_refused(tmp_path, plant, names, message):
    with pytest.raises(UserError, match=message) as error:
        load_data(plant(tmp_path / "d", names))
    assert "\n" not in str(error.value)


def test_damaged_images_are_skipped_and_listed(tmp_path, plant):
    root = plant(tmp_path / "d", TEN)
    (root / "cat" / "3.png").write_bytes(b"nothing")
    data = load_data(root)
    assert len(data.train) + len(data.test) == 19
    assert describe(data)["skipped"] == [
        {"path": "cat/3.png", "reason": "not an image of a known format"}
    ]
    with pytest.raises(UserError, match=r"^cat/3\.png cannot be read"):
        load_data(root, strict=True)


def test_a_class_lost_to_damage_says_so(tmp_path, plant):
    root = plant(tmp_path / "d", TEN)
    for path in (root / "dog").iterdir():
        path.write_bytes(b"nothing")
    with pytest.raises(UserError, match=r"class 'dog' has no readable image: all 10 were skipped"):
        load_data(root)


def test_links_are_followed_and_loops_are_not(tmp_path, plant):
    elsewhere = plant(tmp_path / "elsewhere", "1.png 2.png")
    root = plant(tmp_path / "d", "a/1.png")
    try:
        (root / "b").symlink_to(elsewhere)
        (root / "a" / "loop").symlink_to(root / "a")
        (root / "a" / "gone.png").symlink_to(root / "gone.png")
    except OSError:
        pytest.skip("this system makes no links")
    data = load_data(root, test_share=0)
    assert set(data.train.ids) == {"a/1.png", "b/1.png", "b/2.png"}
    assert [s.path for s in data.skipped] == ["a/gone.png"]


FLAT = "1.png 2.png 3.png 4.png"


def flat(tmp_path, plant, text, names=FLAT):
    root = plant(tmp_path / "flat", names)
    (root / "labels.csv").write_text(text, encoding="utf-8")
    return root


def labels_of(data):
    return {
        id: data.class_names[label] if label >= 0 else ""
        for part in (data.train, data.test)
        for id, label in zip(part.ids, part.labels, strict=True)
    }


@pytest.mark.parametrize(
    "text",
    [
        "file,label\n1.png,cat\n2.png,dog\n3.png,\n",
        "\ufefffilename,class\r\n1.png,cat\r\n2.png,dog\r\n",
        'Path;Label\n"1.png"; cat \n./2.png;dog\n\n',
        "id\tclass\n1\tcat\n2\tdog\n",
        "note,image,label\nx,1.png,cat\nx,1.png,cat\nx,2.png,dog\nx,2.png,\n",
    ],
)
def test_a_csv_gives_the_labels(tmp_path, plant, text):
    data = load_data(flat(tmp_path, plant, text))
    assert data.class_names == ("cat", "dog")
    assert labels_of(data) == {"1.png": "cat", "2.png": "dog", "3.png": "", "4.png": ""}


def test_a_csv_may_give_the_split(tmp_path, plant):
    text = "file,label,split\n1.png,cat,train\n2.png,cat,Test\n3.png,dog,\n4.png,,test\n"
    data = load_data(flat(tmp_path, plant, text))
    assert data.test.ids.tolist() == ["2.png"]
    assert set(data.train.ids) == {"1.png", "3.png", "4.png"}


def test_a_csv_may_name_files_in_sub_folders(tmp_path, plant):
    data = load_data(flat(tmp_path, plant, "file,label\nx/1.png,cat\n", "x/1.png x/2.png"))
    assert labels_of(data) == {"x/1.png": "cat", "x/2.png": ""}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("file,kind\n1.png,a\n", r"labels\.csv has no column label or class .*file, kind"),
        ("name,label\n1.png,a\n", r"labels\.csv has no column file or filename or path"),
        ("", "has no column file"),
        ("file,label\n7.png,a\n8.png,b\n", r"labels\.csv names '7\.png' \(2 in all\)"),
        ("file,label\n1.png,a\n1.png,b\n", r"1\.png has two labels, 'a' and 'b'"),
        ("file,label\n../1.png,a\n", r"line 2: '\.\./1\.png' is not a path inside"),
        ("file,label\n/etc/1.png,a\n", r"line 2: '/etc/1\.png' is not a path inside"),
        ("file,label\nC:/1.png,a\n", "is not a path inside"),
        ("file,label\nx\\1.png,a\n", "is not a path inside"),
        ("file,label\n,a\n", "is not a path inside"),
        ("file,label\n1.png,a,b\n", "line 2 has 3 cells instead of 2"),
        ("file,label\n1.png\n", "line 2 has 1 cells instead of 2"),
        ('file,label\n"1.png,a\n', "line 2"),
        ("file,label,split\n1.png,a,tset\n", r"line 2: unknown split 'tset': did you mean 'test'"),
        ("file,label,split\n1.png,a,test\n1.png,a,train\n", r"line 3: 1\.png has two splits"),
        ("file,label\n1.png,\n", "has no label at all"),
    ],
)
def test_a_csv_that_cannot_be_trusted_is_refused(tmp_path, plant, text, message):
    with pytest.raises(UserError, match=message) as error:
        load_data(flat(tmp_path, plant, text))
    assert "\n" not in str(error.value)


def test_a_csv_in_another_encoding_is_refused(tmp_path, plant):
    root = plant(tmp_path / "flat", FLAT)
    (root / "labels.csv").write_bytes("file,label\n1.png,Bär\n".encode("latin-1"))
    with pytest.raises(UserError, match=r"labels\.csv is not UTF-8 \(byte 18\)"):
        load_data(root)


def test_two_tables_and_two_suffixes_are_ambiguous(tmp_path, plant):
    root = flat(tmp_path, plant, "id,label\n1,cat\n", "1.png 1.bmp")
    with pytest.raises(UserError, match=r"'1' may be 1\.bmp or 1\.png"):
        load_data(root)
    (root / "more.csv").write_text("id,label\n")
    with pytest.raises(UserError, match=r"holds 2 CSV files \(labels\.csv, more\.csv\)"):
        load_data(root)


def test_images_of_many_sizes_become_one(tmp_path, plant, make_image):
    root = plant(tmp_path / "d", "a/1.png")
    (root / "a" / "2.png").write_bytes(make_image(200, (50, 10)))
    data = load_data(root, image_size=24, test_share=0)
    assert data.train.images.shape == (2, 24, 24, 3)
    np.testing.assert_array_equal(data.train.images[1, 0, 0], [200, 55, 7])


def test_a_table_that_was_written_so_that_no_cell_runs(tmp_path, plant):
    root = plant(tmp_path / "d", "=1.png -2.png '3.png")
    rows = [("file", "label"), ("=1.png", "+5C"), ("-2.png", "@home"), ("'3.png", "'tis")]
    (root / "labels.csv").write_text(csv_text(rows))
    data = load_data(root, test_share=0).train
    assert dict(zip(data.ids.tolist(), data.labels.tolist(), strict=True)) == {
        "=1.png": 1,
        "-2.png": 2,
        "'3.png": 0,
    }
    assert load_data(root, test_share=0).class_names == ("'tis", "+5C", "@home")
