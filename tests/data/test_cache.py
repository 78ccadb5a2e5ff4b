"""Decoded images kept in files: equal to those just decoded, rebuilt when they must be."""

import errno
import hashlib
import json
import os
import shutil
import stat
import subprocess
import sys
import time
import tracemalloc
import zipfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image
from tests.data.test_download import tar_gz

from lll.data import cache, load_data, pixels, sources
from lll.data import decoding as images
from lll.data.assemble import Options
from lll.data.files import Files
from lll.data.fingerprint import fingerprint
from lll.data.imageset import DataSet
from lll.data.rows import Rows
from lll.data.sources import cifar
from lll.data.sources.cifar import Archive, Member
from lll.data.walk import walk
from lll.errors import UserError

# Train and test rows are mixed, so that the cache has to put them in order.
NAMES = " ".join(f"{c}/{i}.png" for c in ("cat", "dog") for i in range(8)) + " unlabelled/x.png"


def make_folder(tmp_path, plant, make_image):
    root = plant(tmp_path / "pets", NAMES)
    (root / "cat" / "bad.png").write_bytes(b"nothing")
    return root


def make_table(tmp_path, plant, make_image):
    root = plant(tmp_path / "flat", " ".join(f"{i}.png" for i in range(9)))
    rows = [f"{i}.png,{'ab'[i % 2]},{('train', 'test')[i % 3 == 0]}" for i in range(7)]
    (root / "labels.csv").write_text("\n".join(["file,label,split", *rows]))
    return root


def make_zip(tmp_path, plant, make_image):
    path = tmp_path / "pets.zip"
    with zipfile.ZipFile(path, "w") as out:
        for i, name in enumerate(NAMES.split()):
            out.writestr(name, make_image(i))
    return path


def make_parquet(tmp_path, plant, make_image):
    root = tmp_path / "rows"
    root.mkdir()
    for split, count in (("test", 4), ("train", 9)):
        cells = [make_image(i) for i in range(count)]
        table = pa.table({"image": cells, "label": [i % 2 for i in range(count)]})
        pq.write_table(table, root / f"{split}-0.parquet")
    return root


def make_parquet_file(tmp_path, plant, make_image):
    return make_parquet(tmp_path, plant, make_image) / "train-0.parquet"


MAKERS = (make_folder, make_table, make_zip, make_parquet, make_parquet_file)


def uncached(path: Path, **options) -> DataSet:
    load = next(load for _, fits, load in sources.KINDS if fits(path))
    return load(path, Options(**options))


def assert_equal(one: DataSet, other: DataSet) -> None:
    assert one.name == other.name
    assert one.class_names == other.class_names
    assert one.skipped == other.skipped
    for a, b in ((one.train, other.train), (one.test, other.test)):
        np.testing.assert_array_equal(a.images, b.images)
        np.testing.assert_array_equal(a.labels, b.labels)
        np.testing.assert_array_equal(a.ids, b.ids)
        assert (a.ids.dtype, a.labels.dtype) == (b.ids.dtype, b.labels.dtype)
    assert fingerprint(one) == fingerprint(other)


@pytest.fixture
def decoded(monkeypatch):
    """The list of what was decoded so far: bytes of image files."""
    seen: list[bytes] = []
    decode = images.decode
    monkeypatch.setattr(
        images, "decode", lambda data, *how: [seen.append(data), decode(data, *how)][1]
    )
    return seen


@pytest.fixture
def pets(tmp_path, plant, make_image):
    return make_folder(tmp_path, plant, make_image)


@pytest.fixture
def store(tmp_path):
    return tmp_path / "cache"


def place_in(store: Path) -> Path:
    """The one folder of decoded images in ``store``."""
    (place,) = [p for p in (store / "decoded").iterdir() if not p.name.startswith(".")]
    return place


def leftovers(store: Path) -> list[Path]:
    return list((store / "decoded").glob(".*.tmp"))


@pytest.mark.parametrize("make", MAKERS)
def test_a_cached_load_equals_an_uncached_one(make, tmp_path, plant, make_image, store, decoded):
    path = make(tmp_path, plant, make_image)
    plain = uncached(path)
    assert isinstance(plain.train.images, np.ndarray)
    decoded.clear()
    first = load_data(path, cache=store)
    assert decoded
    decoded.clear()
    second = load_data(path, cache=store)
    assert decoded == []
    for data in (first, second):
        assert_equal(data, plain)
        assert data.fingerprint == fingerprint(plain)
        assert isinstance(data.train.images, Rows)
    assert leftovers(store) == []


def test_a_cifar_archive_is_read_once(tmp_path, store, monkeypatch):
    contents = {
        "names.txt": b"cat\ndog\n",
        **{
            f"{name}.bin": b"".join(bytes([i % 2]) + bytes([i]) * 3072 for i in range(6))
            for name in ("train", "test")
        },
    }
    packed = tar_gz(contents)
    store.mkdir()
    (store / "tiny.tar.gz").write_bytes(packed)
    archive = Archive(
        "tiny",
        "http://127.0.0.1:1/tiny.tar.gz",
        hashlib.sha256(packed).hexdigest(),
        "names.txt",
        (Member("test.bin", "test", 6), Member("train.bin", "train", 6)),
    )
    monkeypatch.setattr(sources, "SOURCES", {"tiny": archive})
    plain = cifar.load_archive(archive, Options(), store)
    first = load_data("tiny", cache=store)
    monkeypatch.setattr(cifar, "read_members", lambda *_: pytest.fail("read again"))
    for data in (first, load_data("tiny", cache=store)):
        assert_equal(data, plain)


def test_other_options_are_other_images(pets, store):
    assert load_data(pets, cache=store).train.images.shape[1] == 32
    assert load_data(pets, cache=store, image_size=16).train.images.shape[1] == 16
    assert len(load_data(pets, cache=store, test_share=0).test) == 0
    stripes = np.repeat(np.arange(60, dtype=np.uint8)[None], 20, axis=0)
    Image.fromarray(stripes).save(pets / "cat" / "wide.png")
    squashed = load_data(pets, cache=store, test_share=0).train
    cropped = load_data(pets, cache=store, test_share=0, resize="crop").train
    row = squashed.ids.tolist().index("cat/wide.png")
    assert np.ptp(squashed.images[row]) > 50 > 25 > np.ptp(cropped.images[row])
    with pytest.raises(UserError, match="unknown resize 'corp': did you mean 'crop'"):
        load_data(pets, cache=store, resize="corp")
    assert load_data(pets, cache=store).train.images.shape[1] == 32


def test_strict_refuses_what_a_lenient_load_kept(pets, store):
    load_data(pets, cache=store)
    with pytest.raises(UserError, match=r"^cat/bad\.png cannot be read"):
        load_data(pets, cache=store, strict=True)
    (pets / "cat" / "bad.png").unlink()
    assert load_data(pets, cache=store, strict=True).skipped == ()


def rewritten(path: Path, content: bytes) -> None:
    """Write ``content``, surely at another time than before."""
    before = path.stat().st_mtime_ns
    path.write_bytes(content)
    os.utime(path, ns=(before + 10_000_000, before + 10_000_000))


@pytest.mark.parametrize("change", ["add", "change", "remove", "empty folder"])
def test_of_a_changed_folder_what_is_new_is_decoded(pets, store, make_image, decoded, change):
    (pets / "cat" / "bad.png").unlink()
    load_data(pets, cache=store)
    decoded.clear()
    if change == "add":
        (pets / "dog" / "new.png").write_bytes(make_image(99))
    elif change == "change":
        rewritten(pets / "dog" / "1.png", make_image(99))
    elif change == "remove":
        (pets / "dog" / "1.png").unlink()
    else:
        (pets / "eel").mkdir()
        with pytest.raises(UserError, match="eel is a class with no image"):
            load_data(pets, cache=store)
        return
    shown = []
    data = load_data(pets, cache=store, on_decoded=lambda *at: shown.append(at))
    assert decoded == ([] if change == "remove" else [make_image(99)])
    assert_equal(data, uncached(pets))
    count = len(data.train) + len(data.test)
    assert sum(len(images) for images, _, _ in shown) == count
    assert shown[-1][1:] == (count, count)
    place_in(store)
    assert leftovers(store) == []


@pytest.mark.parametrize("harm", ["states.npy", "pixels.bin"])
def test_nothing_is_taken_over_from_damage(pets, store, make_image, harm):
    load_data(pets, cache=store)
    file = place_in(store) / harm
    file.write_bytes(bytes(file.stat().st_size))
    (pets / "dog" / "new.png").write_bytes(make_image(99))
    assert_equal(load_data(pets, cache=store), uncached(pets))


def test_what_wraps_the_classes_is_no_reason_to_decode_anew(tmp_path, plant, store, decoded):
    root = plant(tmp_path / "all", "pets/cat/1.png pets/cat/2.png pets/dog/1.png")
    load_data(root, cache=store)
    decoded.clear()
    (root / "pets" / "cat" / "1.png").unlink()
    assert len(load_data(root, cache=store, test_share=0).train) == 2
    decoded.clear()
    (root / "pets" / "dog" / "2.png").write_bytes((root / "pets" / "cat" / "2.png").read_bytes())
    assert len(load_data(root, cache=store, test_share=0).train) == 3
    assert len(decoded) == 1


def test_an_edited_table_counts_and_notes_beside_it_do_not(
    tmp_path, plant, make_image, store, decoded
):
    root = make_table(tmp_path, plant, make_image)
    load_data(root, cache=store)
    decoded.clear()
    (root / "notes.txt").write_text("a note")
    load_data(root, cache=store)
    assert decoded == []
    rewritten(root / "labels.csv", (root / "labels.csv").read_bytes().replace(b",a,", b",c,"))
    assert load_data(root, cache=store).class_names == ("b", "c")


def test_a_changed_file_is_decoded_anew(tmp_path, plant, make_image, store):
    path = make_zip(tmp_path, plant, make_image)
    load_data(path, cache=store)
    with zipfile.ZipFile(path, "a") as out:
        out.writestr("eel/1.png", make_image(5))
    assert load_data(path, cache=store).class_names == ("cat", "dog", "eel")


def swap(one: Path, other: Path) -> None:
    """Each under the name of the other, the folder looking as before."""
    spare = one.with_name("spare")
    one.rename(spare)
    other.rename(one)
    spare.rename(other)


def write_in_place(one: Path, other: Path) -> None:
    """The content of each in the other, which keeps its times."""
    contents = [path.read_bytes() for path in (one, other)]
    for path, content in zip((one, other), reversed(contents), strict=True):
        status = path.stat()
        path.write_bytes(content)
        os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))


def replace_by_copies(one: Path, other: Path) -> None:
    """Other files of the same names, sizes and times, as an archive brings them."""
    contents = [path.read_bytes() for path in (one, other)]
    for path, content in zip((one, other), reversed(contents), strict=True):
        status = path.stat()
        path.unlink()
        path.write_bytes(content)
        os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))


@pytest.mark.parametrize("change", [swap, write_in_place, replace_by_copies])
@pytest.mark.parametrize("source", ["folder", "parquet"])
def test_other_content_of_equal_size_and_time_is_noticed(
    tmp_path, store, make_image, change, source
):
    root = tmp_path / "pets"
    if source == "folder":
        paths = [root / f"{c}/{i}.bmp" for c in "ab" for i in range(3)]
        for i, path in enumerate(paths):
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(make_image(i, kind="BMP"))
    else:
        root.mkdir()
        paths = [root / "train-0.parquet", root / "train-1.parquet"]
        for start, path in enumerate(paths):
            cells = [make_image(start + 2 * i, kind="BMP") for i in range(5)]
            table = pa.table({"image": cells, "label": [0, 1, 0, 1, 0]})
            pq.write_table(table, path, compression="none", use_dictionary=False)
    assert len({path.stat().st_size for path in paths}) == 1
    for path in paths:
        os.utime(path, ns=(10**18, 10**18))
    before = load_data(root, cache=store)
    change(paths[0], paths[-1])
    after = load_data(root, cache=store)
    assert_equal(after, uncached(root))
    assert not np.array_equal(np.asarray(after.train.images), np.asarray(before.train.images))


def test_opening_reads_no_image(pets, store, monkeypatch):
    first = load_data(pets, cache=store)
    for name in ("fingerprint", "array_hash"):
        monkeypatch.setattr(cache, name, lambda *_: pytest.fail("read"))
    assert load_data(pets, cache=store).fingerprint == first.fingerprint


def test_a_cache_that_was_copied_is_checked_once(pets, tmp_path, store, decoded, monkeypatch):
    plain = load_data(pets, cache=store)
    shutil.copytree(store, tmp_path / "copy")
    decoded.clear()
    assert_equal(load_data(pets, cache=tmp_path / "copy"), plain)
    assert decoded == []
    monkeypatch.setattr(cache, "fingerprint", lambda _: pytest.fail("read"))
    load_data(pets, cache=tmp_path / "copy")


@pytest.fixture
def failing(monkeypatch):
    """``failing(error)``: reading ``cat/2.png`` of a folder raises ``error``, or no more."""
    read_folder = sources.read_folder

    def fail(error: Exception | None) -> None:
        def read(root: Path) -> Files:
            files = read_folder(root)
            harmed = {"cat/2.png": refuse} if error else {}
            return replace(files, images={**files.images, **harmed})

        def refuse() -> bytes:
            raise error

        monkeypatch.setattr(sources, "read_folder", read)

    return fail


PASSING = [
    OSError(errno.EIO, "Input/output error"),
    PermissionError(errno.EACCES, "Permission denied"),
    MemoryError(),
]


@pytest.mark.parametrize("error", PASSING, ids=str)
def test_what_could_not_be_read_once_is_tried_again(pets, store, failing, error):
    failing(error)
    for _ in range(2):
        skipped = load_data(pets, cache=store).skipped
        assert [(s.path, s.passing) for s in skipped] == [
            ("cat/2.png", True),
            ("cat/bad.png", False),
        ]
        assert (getattr(error, "strerror", "") or "memory") in skipped[0].reason
    failing(None)
    assert_equal(load_data(pets, cache=store), uncached(pets))
    assert leftovers(store) == []


@pytest.mark.parametrize("error", [MemoryError(), OSError("out of memory error when reading")])
def test_lack_of_memory_is_not_damage(pets, store, monkeypatch, error):
    calls = []
    upright = images.upright

    def lack(image: Image.Image) -> Image.Image:
        calls.append(image)
        if len(calls) == 3:
            raise error
        return upright(image)

    monkeypatch.setattr(images, "upright", lack)
    skipped = load_data(pets, cache=store).skipped
    assert [s.reason for s in skipped if s.passing] == ["not enough memory to decode it"]
    monkeypatch.undo()
    assert_equal(load_data(pets, cache=store), uncached(pets))


def test_the_umask_says_who_may_read_what_is_kept(pets, store):
    before = os.umask(0o027)
    try:
        load_data(pets, cache=store)
    finally:
        os.umask(before)
    place = place_in(store)
    assert {stat.S_IMODE(path.stat().st_mode) for path in (store, place)} == {0o750}
    assert {stat.S_IMODE(path.stat().st_mode) for path in place.iterdir()} == {0o640}


def cut(place: Path) -> None:
    data = (place / "pixels.bin").read_bytes()
    (place / "pixels.bin").write_bytes(data[:-1])


def flip(name: str):
    def harm(place: Path) -> None:
        data = bytearray((place / name).read_bytes())
        data[-5] ^= 1
        (place / name).write_bytes(data)

    return harm


def lie(place: Path) -> None:
    facts = json.loads((place / "meta.json").read_text())
    facts["class_names"][0] = "cow"
    (place / "meta.json").write_text(json.dumps(facts))


HARMS = {
    "pixels cut": cut,
    "pixels flipped": flip("pixels.bin"),
    "labels flipped": flip("labels.npy"),
    "ids flipped": flip("ids.npy"),
    "meta no json": lambda place: (place / "meta.json").write_text("{"),
    "meta a list": lambda place: (place / "meta.json").write_text("[]"),
    "meta changed": lie,
    "meta gone": lambda place: (place / "meta.json").unlink(),
    "pixels gone": lambda place: (place / "pixels.bin").unlink(),
    "ids a pickle": lambda place: np.save(
        place / "ids.npy", np.array([{}], dtype=object), allow_pickle=True
    ),
}


@pytest.mark.parametrize("harm", HARMS.values(), ids=HARMS)
def test_damage_is_logged_and_mended(pets, store, caplog, harm):
    load_data(pets, cache=store)
    harm(place_in(store))
    data = load_data(pets, cache=store)
    assert_equal(data, uncached(pets))
    (record,) = caplog.records
    assert (record.name, record.levelname) == ("lll", "WARNING")
    assert "is damaged" in record.getMessage()
    assert str(place_in(store)) in record.getMessage()
    caplog.clear()
    load_data(pets, cache=store)
    assert caplog.records == []
    assert leftovers(store) == []


def test_what_is_mapped_stays_when_it_is_rebuilt(pets, store):
    before = load_data(pets, cache=store)
    kept = np.asarray(before.train.images)
    (pets / "cat" / "0.png").unlink()
    load_data(pets, cache=store)
    np.testing.assert_array_equal(before.train.images, kept)


def full(*_: object) -> None:
    raise OSError(errno.ENOSPC, "No space left on device")


def full_store(*_: object) -> None:
    raise pixels.StoreError("No space left on device")


@pytest.mark.parametrize(
    ("module", "name", "harm"),
    [
        (pixels.Pixels, "put", full_store),
        (cache, "_write", full),
        (cache, "_swap", full),
        (cache, "_temporary", full),
    ],
)
def test_a_full_cache_is_done_without(pets, store, caplog, monkeypatch, module, name, harm):
    plain = uncached(pets)
    put = pixels.Pixels.put

    def in_file(self: pixels.Pixels, images: np.ndarray) -> None:
        harm() if self._file is not None else put(self, images)

    monkeypatch.setattr(module, name, in_file if name == "put" else harm)
    data = load_data(pets, cache=store)
    assert_equal(data, plain)
    assert isinstance(data.train.images, np.ndarray)
    (record,) = caplog.records
    message = record.getMessage()
    assert str(store / "decoded") in message
    assert "No space left on device" in message
    assert "--cache FOLDER" in message
    assert "\n" not in message
    assert leftovers(store) == []
    monkeypatch.undo()
    assert isinstance(load_data(pets, cache=store).train.images, Rows)


def test_the_writer_says_when_its_file_is_full(monkeypatch):
    out = pixels.Pixels(2, Path("/dev/full"))
    if not Path("/dev/full").exists():
        pytest.skip("no /dev/full")
    with pytest.raises(pixels.StoreError, match="No space left"):
        out.put(np.zeros((1, 2, 2, 3), np.uint8))


@pytest.mark.parametrize("below", ["", "decoded"])
def test_a_file_in_place_of_the_cache_is_done_without(pets, store, caplog, below):
    if below:
        store.mkdir()
    (store / below).write_text("a file")
    assert_equal(load_data(pets, cache=store), uncached(pets))
    (record,) = caplog.records
    assert "choose another folder with --cache" in record.getMessage()


def test_a_source_that_is_refused_leaves_nothing(pets, store):
    for path in (pets / "dog").iterdir():
        path.write_bytes(b"nothing")
    with pytest.raises(UserError, match="class 'dog' has no readable image"):
        load_data(pets, cache=store)
    assert [p for p in (store / "decoded").iterdir() if p.is_dir()] == []


@pytest.mark.parametrize("error", [KeyboardInterrupt, RuntimeError])
def test_a_build_that_is_interrupted_is_not_trusted(pets, store, monkeypatch, error):
    def stop(*_: object) -> None:
        raise error

    for name in ("_order_pixels", "fingerprint", "_swap"):
        monkeypatch.setattr(cache, name, stop)
        with pytest.raises(error):
            load_data(pets, cache=store)
        assert [p for p in (store / "decoded").iterdir() if p.is_dir()] == []
        monkeypatch.undo()
    assert_equal(load_data(pets, cache=store), uncached(pets))


def test_what_a_killed_build_left_is_removed(pets, store):
    load_data(pets, cache=store)
    left = place_in(store).with_name(f".{place_in(store).name}.abc.tmp")
    place_in(store).rename(left)
    load_data(pets, cache=store)
    assert not left.exists()
    place_in(store)


def test_two_processes_build_one_cache(pets, store):
    code = (
        "import sys; from pathlib import Path; from lll.data import load_data;"
        "print(load_data(sys.argv[1], cache=Path(sys.argv[2])).fingerprint)"
    )
    command = [sys.executable, "-c", code, str(pets), str(store)]
    both = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True) for _ in range(2)]
    out = [process.communicate(timeout=120)[0].strip() for process in both]
    assert out == [fingerprint(uncached(pets))] * 2
    place_in(store)
    assert leftovers(store) == []


def test_digits_and_arrays_are_not_kept(tmp_path, store):
    np.savez(tmp_path / "a.npz", images=np.zeros((4, 8, 8), np.uint8), labels=[0, 0, 1, 1])
    load_data(tmp_path / "a.npz", cache=store)
    load_data("digits", cache=store)
    assert not store.exists()


def test_the_default_is_the_cache_of_the_user(pets):
    load_data(pets)
    assert any((Path(os.environ["XDG_CACHE_HOME"]) / "lll" / "decoded").iterdir())


def test_a_stamp_of_many_files_is_quick(tmp_path):
    for folder in range(10):
        (tmp_path / str(folder)).mkdir()
        for i in range(300):
            (tmp_path / str(folder) / f"{i}.png").touch()
    start = time.perf_counter()
    first = cache.stamp_of(tmp_path, walk(tmp_path))
    assert time.perf_counter() - start < 1.0  # 10 ms on an idle machine
    assert cache.stamp_of(tmp_path, walk(tmp_path)) == first


def test_memory_does_not_grow_with_the_images(tmp_path, store, monkeypatch):
    """Neither while they are decoded and put in order, nor when they are read."""
    monkeypatch.setattr(images, "CHUNK_BYTES", 2**20)
    monkeypatch.setattr(cache, "COPY_BYTES", 2**20)
    root = tmp_path / "many"
    root.mkdir()
    rows = ["file,label"]
    for i in range(300):
        Image.new("RGB", (4, 4), (i % 256, 0, 0)).save(root / f"{i}.png")
        rows.append(f"{i}.png,{'ab'[i % 2]}")
    (root / "labels.csv").write_text("\n".join(rows))
    for _ in range(2):
        tracemalloc.start()
        data = load_data(root, cache=store, image_size=256)  # 59 MB of pixels
        for start in range(0, len(data.train), 8):
            data.train.images[start : start + 8]
        _, peak = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        assert data.train.images.nbytes > 40 * 2**20
        assert peak < 16 * 2**20
