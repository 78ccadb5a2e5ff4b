"""Zips: what is read from them and what is refused."""

import stat
import zipfile

import numpy as np
import pytest

from lll.data import archive, load_data
from lll.errors import UserError


@pytest.fixture
def pack(tmp_path, make_image):
    def pack(names, extra=()):
        """A zip of images at ``names``, and of ``extra`` (name or ZipInfo, content) pairs."""
        path = tmp_path / "d.zip"
        with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as out:
            for i, name in enumerate(names.split()):
                out.writestr(name, b"" if name.endswith("/") else make_image(i))
            for name, content in extra:
                out.writestr(name, content)
        return path

    return pack


@pytest.mark.parametrize("top", ["", "pets/"])
def test_class_folders_in_a_zip(pack, top):
    names = " ".join(f"{top}{c}/{i}.png" for c in "ab" for i in range(5))
    data = load_data(pack(names, [(f"{top}notes.txt", "x"), ("__MACOSX/._a", "x")]))
    assert data.name == "d"
    assert data.class_names == ("a", "b")
    assert set(data.train.ids) | set(data.test.ids) == {
        f"{c}/{i}.png" for c in "ab" for i in range(5)
    }


@pytest.mark.parametrize("top", ["", "flat/"])
def test_a_table_in_a_zip(pack, top):
    path = pack(f"{top}1.png {top}2.png", [(f"{top}labels.csv", "file,label\n1.png,cat\n")])
    data = load_data(path)
    assert dict(zip(data.train.ids, data.train.labels, strict=True)) == {"1.png": 0, "2.png": -1}


def test_splits_in_a_zip(pack):
    data = load_data(pack("d/train/a/1.png d/train/b/2.png d/test/a/3.png"))
    assert data.test.ids.tolist() == ["test/a/3.png"]
    lone = load_data(pack("train/a/1.png train/b/2.png"))
    assert lone.class_names == ("a", "b")


def test_a_zip_equals_its_folder(pack, tmp_path, plant):
    names = " ".join(f"{c}/{i}.png" for c in "ab" for i in range(6))
    zipped, plain = load_data(pack(names)), load_data(plant(tmp_path / "d", names))
    for one, other in ((zipped.train, plain.train), (zipped.test, plain.test)):
        np.testing.assert_array_equal(one.ids, other.ids)
        np.testing.assert_array_equal(one.images, other.images)


def test_nested_archives_are_ignored(pack):
    data = load_data(pack("a/1.png b/2.png", [("a/more.zip", "PK"), ("b/more.tar.gz", "x")]))
    assert len(data.train) == 2


def test_an_empty_class_folder_is_named(pack):
    with pytest.raises(UserError, match=r"d\.zip/b is a class with no image"):
        load_data(pack("a/1.png b/ c/2.png"))


def special(name: str, kind: int) -> zipfile.ZipInfo:
    info = zipfile.ZipInfo(name)
    info.create_system = 3
    info.external_attr = (kind | 0o777) << 16
    return info


def raw(name: str) -> zipfile.ZipInfo:
    """A member whose name is stored as it is."""
    info = zipfile.ZipInfo("x")
    info.filename = name
    return info


@pytest.mark.parametrize(
    ("member", "message"),
    [
        (raw("/etc/1.png"), "points outside the archive"),
        (raw("../1.png"), "points outside the archive"),
        (raw("a/../../1.png"), "points outside the archive"),
        (raw("a\\..\\1.png"), "is not a plain path"),
        (raw("C:/1.png"), "is not a plain path"),
    ],
)
def test_members_that_reach_out_are_refused(pack, member, message):
    with pytest.raises(UserError, match=message) as error:
        load_data(pack("a/1.png b/2.png", [(member, b"target")]))
    assert "d.zip" in str(error.value)


def test_links_and_special_files_are_skipped_in_view_as_in_a_folder(pack):
    others = [
        (special("a/link.png", stat.S_IFLNK), b"../b/2.png"),
        (special("a/pipe.png", stat.S_IFIFO), b""),
        (special("more", stat.S_IFLNK), b"b"),
    ]
    data = load_data(pack("a/1.png b/2.png", others), test_share=0)
    assert data.train.ids.tolist() == ["a/1.png", "b/2.png"]
    link = "a link in a zip, which is not followed"
    assert {s.path: s.reason for s in data.skipped} == {
        "a/link.png": link,
        "a/pipe.png": "a pipe, socket or device, not a file",
    }
    assert [(u.reason, u.first) for u in data.unused] == [(link, "more")]


@pytest.mark.parametrize("marked", [True, False])
def test_names_are_utf8_whether_or_not_the_zip_says_so(pack, marked):
    path = pack("café/1.png tea/2.png")
    if not marked:  # as macOS writes them
        data = path.read_bytes()
        for header, at in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
            start = data.index(header) + at
            flags = int.from_bytes(data[start : start + 2], "little") & ~0x800
            data = data[:start] + flags.to_bytes(2, "little") + data[start + 2 :]
        path.write_bytes(data)
    assert load_data(path).class_names == ("café", "tea")


def flip_in_directory(path, offset, value):
    """Set a byte of the first entry of the zip's directory."""
    data = bytearray(path.read_bytes())
    data[data.index(b"PK\x01\x02") + offset] = value
    path.write_bytes(data)


def test_an_encrypted_member_is_refused(pack):
    path = pack("a/1.png b/2.png")
    flip_in_directory(path, 8, 1)
    with pytest.raises(UserError, match=r"'a/1\.png' is encrypted"):
        load_data(path)


def test_an_unusual_compression_is_refused(tmp_path, make_image):
    path = tmp_path / "d.zip"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_LZMA) as out:
        out.writestr("a/1.png", make_image(1))
    with pytest.raises(UserError, match="compression method 14"):
        load_data(path)


@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_a_member_twice_is_refused(pack):
    with pytest.raises(UserError, match=r"holds 'a/1\.png' 2 times"):
        load_data(pack("a/1.png a/1.png b/2.png"))


def test_bombs_are_refused(pack, monkeypatch):
    path = pack("a/1.png b/2.png", [("a/bomb.png", bytes(20 * 2**20))])
    with pytest.raises(UserError, match="times its size, more than 200"):
        load_data(path)
    monkeypatch.setattr(archive, "MAX_ZIP_BYTES", 2**20)
    with pytest.raises(UserError, match=r"unpacks to [0-9.]+ MiB, more than"):
        load_data(path)
    monkeypatch.setattr(archive, "MAX_MEMBERS", 2)
    with pytest.raises(UserError, match="has 3 members, more than 2"):
        load_data(path)


def test_a_member_that_lies_about_its_size_is_skipped(pack):
    path = pack("a/1.png b/2.png", [("c/1.png", bytes(2**20)), ("c/2.png", b"x")])
    data = path.read_bytes()
    path.write_bytes(data.replace((2**20).to_bytes(4, "little"), (99).to_bytes(4, "little")))
    with pytest.raises(UserError, match=r"class 'c' has no readable image"):
        load_data(path)


def test_a_huge_member_is_skipped(pack, monkeypatch):
    monkeypatch.setattr(archive, "MAX_FILE_BYTES", 1000)
    data = load_data(pack("a/1.png b/2.png", [("a/huge.png", bytes(2000))]))
    assert [(s.path, s.reason) for s in data.skipped] == [("a/huge.png", "larger than 1000 bytes")]


def test_a_damaged_member_is_skipped_and_listed(pack):
    path = pack("a/1.png a/2.png b/2.png")
    data = bytearray(path.read_bytes())
    at = data.index(b"a/1.png") + len("a/1.png") + 5
    data[at : at + 20] = bytes(20)
    path.write_bytes(data)
    loaded = load_data(path)
    assert [s.path for s in loaded.skipped] == ["a/1.png"]
    assert "damaged in the zip" in loaded.skipped[0].reason


def test_a_damaged_table_is_named(pack):
    path = pack("1.png", [("labels.csv", "file,label\n1.png,cat\n")])
    data = path.read_bytes()
    path.write_bytes(data.replace(b"labels.csv", b"labels.c\xff\xff", 1))
    with pytest.raises(UserError, match=r"labels\.csv cannot be read \(damaged in the zip\)"):
        load_data(path)


@pytest.mark.parametrize("content", [b"", b"not a zip", b"PK\x05\x06"])
def test_a_damaged_zip_is_refused(tmp_path, content):
    path = tmp_path / "d.zip"
    path.write_bytes(content)
    with pytest.raises(UserError, match=r"d\.zip is not a readable zip"):
        load_data(path)


def test_a_truncated_zip_is_refused(pack):
    path = pack("a/1.png b/2.png")
    path.write_bytes(path.read_bytes()[:-30])
    with pytest.raises(UserError, match=r"d\.zip is not a readable zip"):
        load_data(path)


def test_nothing_is_written_beside_the_zip(pack, tmp_path):
    load_data(pack("a/1.png b/2.png"))
    assert [p.name for p in tmp_path.iterdir()] == ["d.zip"]
