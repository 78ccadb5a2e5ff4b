"""The one walk: what a folder gives, whoever asks, and what is passed over and why."""

import os
import signal
import socket
import subprocess
import sys
import zipfile

import pytest

from lll.data import describe, load_data
from lll.data.files import image_files, read_folder
from lll.data.paths import as_text, real_path
from lll.data.walk import walk
from lll.errors import UserError

linux = pytest.mark.skipif(sys.platform != "linux", reason="needs links, pipes and any name")

JUNK = "Thumbs.db .DS_Store a/.hidden.png a/Thumbs.db .git/x.png __MACOSX/a/1.png a/desktop.ini"


def reasons(unused):
    return {group.reason: group.count for group in unused}


def test_all_who_list_files_agree_on_what_is_hidden(tmp_path, plant, make_image):
    root = plant(tmp_path / "d", f"a/1.png b/2.png {JUNK}")
    with zipfile.ZipFile(tmp_path / "d.zip", "w") as out:
        for file in (p for p in root.rglob("*") if p.is_file()):
            out.write(file, file.relative_to(root))
    for source in (root, tmp_path / "d.zip"):
        data = load_data(source, test_share=0)
        assert data.train.ids.tolist() == ["a/1.png", "b/2.png"]
        assert data.class_names == ("a", "b")
        assert reasons(data.unused) == {"hidden or left by the system": 7}
        assert load_data(source, test_share=0).unused == data.unused  # from the cache
    assert [name for name, _ in image_files(root)[0]] == [f"{root}/a/1.png", f"{root}/b/2.png"]


def test_files_that_are_not_used_are_counted_by_reason(tmp_path, plant):
    root = plant(tmp_path / "d", "a/1.png b/2.png")
    for name in ("README", "a/x.txt", "b/y.TXT", "b/z.mp4"):
        (root / name).write_text("no image")
    expected = {"not an image (.txt)": 2, "not an image (.mp4)": 1, "not an image (no suffix)": 1}
    assert reasons(load_data(root).unused) == expected
    (root / "more.txt").write_text("read although the decoded images are kept")
    unused = describe(load_data(root))["unused"]
    assert {"reason": "not an image (.txt)", "count": 3, "first": "a/x.txt"} in unused


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        *(("1.jfif", "JPEG"), ("1.JPE", "JPEG"), ("1.ppm", "PPM"), ("1.avif", "AVIF")),
        *(("1.jp2", "JPEG2000"), ("1", "PNG"), ("img_2", "WEBP"), ("photo", "GIF"), ("x", "BMP")),
    ],
)
def test_images_with_other_suffixes_are_read(tmp_path, make_image, name, kind):
    root = tmp_path / "d"
    for folder in "ab":
        (root / folder).mkdir(parents=True)
        (root / folder / name).write_bytes(make_image(40, kind=kind))
    data = load_data(root, test_share=0)
    assert data.train.ids.tolist() == [f"a/{name}", f"b/{name}"]
    assert abs(int(data.train.images[0, 0, 0, 0]) - 40) < 8
    assert len(image_files(root)[0]) == 2


def test_images_of_formats_that_are_not_read_are_skipped_in_view(tmp_path, plant, make_image):
    root = plant(tmp_path / "d", "a/1.png b/2.png")
    (root / "a" / "3.HEIC").write_bytes(b"\0\0\0\x18ftypheic")
    (root / "a" / "4.jpg").write_bytes(b"\0\0\0\x18ftypheic")
    data = load_data(root)
    assert {s.path: s.reason for s in data.skipped} == {
        "a/3.HEIC": "HEIC images are not read: save it as PNG or JPEG",
        "a/4.jpg": "HEIC images are not read: save it as PNG or JPEG",
    }
    with pytest.raises(UserError, match=r"a/3\.HEIC cannot be read \(HEIC images are not read"):
        load_data(root, strict=True)
    (root / "b" / "2.png").rename(root / "b" / "2.heif")
    with pytest.raises(UserError, match=r"class 'b' has no readable image.*HEIF images are not"):
        load_data(root)


@linux
def test_only_regular_files_are_read(tmp_path, plant):
    root = plant(tmp_path / "d", "a/1.png b/2.png")
    signal.alarm(20)  # a pipe that is opened hangs for ever
    os.mkfifo(root / "a" / "pipe.png")
    os.mkfifo(root / "a" / "pipe")
    (root / "a" / "zero.png").symlink_to("/dev/zero")
    (root / "a" / "self.png").symlink_to("self.png")
    (root / "a" / "self").symlink_to("self")
    (root / "b" / "gone.png").symlink_to("nowhere")
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(root / "b" / "socket.jpg"))
        data = load_data(root, test_share=0)
    assert data.train.ids.tolist() == ["a/1.png", "b/2.png"]
    special = "a pipe, socket or device, not a file"
    assert {s.path: s.reason for s in data.skipped} == {
        "a/pipe.png": special,
        "a/zero.png": special,
        "a/self.png": "a link to itself",
        "b/gone.png": "a link to nothing",
        "b/socket.jpg": special,
    }
    assert reasons(data.unused) == {special: 1, "a link to itself": 1}
    for name in ("pipe.png", "zero.png"):
        (((_, read),), _) = image_files(root / "a" / name)
        with pytest.raises(ValueError, match="not a file"):
            read()
    signal.alarm(0)


@linux
def test_each_real_folder_is_read_once(tmp_path, plant):
    elsewhere = plant(tmp_path / "elsewhere", "5.png")
    root = plant(tmp_path / "d", "b/1.png c/2.png")
    (root / "a").symlink_to("b")  # by its own name, although the link comes first
    (root / "c" / "d").symlink_to(elsewhere)
    (root / "c" / "e").symlink_to(elsewhere)
    (elsewhere / "back").symlink_to(root / "b")
    (root / "b" / "up").symlink_to("..")
    (root / "b" / "top").symlink_to("/")
    files = read_folder(root)
    assert list(files.images) == ["b/1.png", "c/2.png", "c/d/5.png"]
    assert files.folders == {"b", "c", "c/d"}
    assert reasons(files.unused) == {"a link to a folder that is read already": 5}


@linux
def test_a_deep_folder_is_read(tmp_path, plant):
    """Deeper than Python may recurse."""
    root = plant(tmp_path / "d", "a/1.png b/2.png")
    deep = root / "b" / "/".join("x" * 1100)
    subprocess.run(["mkdir", "-p", deep], check=True)
    os.link(root / "a" / "1.png", deep / "3.png")
    try:
        assert len(load_data(root, test_share=0).train) == 3
    finally:
        subprocess.run(["rm", "-r", root / "b"], check=True)  # pytest would recurse


def test_a_folder_that_cannot_be_read_is_named(tmp_path):
    with pytest.raises(UserError, match="none cannot be read: No such file or directory"):
        walk(tmp_path / "none")


@pytest.mark.parametrize("raw", [b"caf\xe9.png", b"a\\b\xff.png", b"x\\xe9.png", "café".encode()])
def test_a_name_is_text_and_leads_back(raw, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    name = os.fsdecode(raw)
    assert as_text(name).encode().decode() == as_text(name)
    assert os.fsencode(real_path(as_text(name))) == raw or as_text(name) == name
    (tmp_path / name).touch()
    assert os.fsencode(real_path(as_text(name))) == raw


@linux
def test_names_that_are_not_utf8_give_text(tmp_path, make_image):
    root = os.fsencode(tmp_path) + b"/d\xff"
    for folder in (b"/caf\xe9", b"/tea"):
        os.makedirs(root + folder)  # noqa: PTH103 - bytes
        for file in (b"/\xe8.png", b"/\xe9.png"):
            with open(root + folder + file, "wb") as out:  # noqa: PTH123 - bytes
                out.write(make_image(3))
    data = load_data(os.fsdecode(root), test_share=0)
    assert data.class_names == (r"caf\xe9", "tea")
    assert data.train.ids[0] == r"caf\xe9/\xe8.png"
    again = load_data(as_text(os.fsdecode(root)), test_share=0)
    assert (again.name, again.train.ids.tolist()) == (r"d\xff", data.train.ids.tolist())
    names = [name for name, _ in image_files(os.fsdecode(root))[0]]
    assert len([read() for name in names for _, read in image_files(name)[0]]) == 4
