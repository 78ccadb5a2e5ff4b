"""Images that stay in a file: picked, put together and hashed without being read."""

import pickle
import resource
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from lll.data import describe
from lll.data.fingerprint import fingerprint
from lll.data.imageset import ImageSet
from lll.data.rows import InFile, Rows
from lll.data.sources.arrays import from_arrays
from lll.errors import UserError


@pytest.fixture
def memory():
    return np.random.default_rng(0).integers(0, 256, (40, 8, 8, 3), dtype=np.uint8)


@pytest.fixture
def mapped(tmp_path, memory):
    np.save(tmp_path / "x.npy", memory)
    return np.load(tmp_path / "x.npy", mmap_mode="r")


@pytest.fixture
def reads(monkeypatch):
    """The positions that were read, call by call."""
    calls: list[list[int]] = []
    read = Rows.read_at
    monkeypatch.setattr(
        Rows, "read_at", lambda self, at: [calls.append(at.tolist()), read(self, at)][1]
    )
    return calls


INDICES = {
    "slice": slice(3, 9),
    "backwards": slice(None, None, -3),
    "positions": np.array([5, 5, -1, 0]),
    "none": np.array([], dtype=np.intp),
    "mask": np.arange(40) % 3 == 0,
    "number": 7,
    "last": -1,
    "pixel": (slice(None), 0, 0, 0),
    "one pixel": (4, 1, 2),
    "rows and columns": (np.array([1, 2]), slice(0, 2)),
}


@pytest.mark.parametrize("index", INDICES.values(), ids=INDICES)
@pytest.mark.parametrize("cuts", [[], [13], [1, 30]])
def test_indexing_is_that_of_an_array(memory, mapped, index, cuts):
    rows = Rows.of(*np.split(mapped, cuts))
    got = rows[index]
    np.testing.assert_array_equal(got, memory[index])
    assert type(got) in (np.ndarray, np.uint8)
    assert (rows.shape, rows.dtype, rows.ndim) == (memory.shape, memory.dtype, 4)
    assert (rows.nbytes, len(rows)) == (memory.nbytes, 40)


def test_reading_out_of_range_fails(mapped):
    with pytest.raises(IndexError):
        Rows.of(mapped)[40]
    with pytest.raises(IndexError):
        Rows.of(mapped).take(np.array([40]))


def test_asarray_reads_all_and_torch_takes_what_is_read(memory, mapped):
    rows = Rows.of(mapped)
    np.testing.assert_array_equal(np.asarray(rows), memory)
    assert np.asarray(rows, dtype=np.float32).dtype == np.float32
    with pytest.raises(ValueError, match="without a copy"):
        np.array(rows, copy=False)
    assert torch.from_numpy(rows[2:5]).shape == (3, 8, 8, 3)  # warns if it is not writable


@pytest.mark.parametrize("index", [np.arange(40) % 2 == 0, np.array([3, 1, 3])])
def test_taking_from_a_map_reads_nothing(memory, mapped, reads, index):
    whole = ImageSet(mapped, np.arange(40), np.array([str(i) for i in range(40)]))
    picked = whole.take(index).take(np.array([2, 0]))
    assert isinstance(picked.images, Rows)
    assert reads == []
    np.testing.assert_array_equal(picked.images, memory[index][[2, 0]])
    assert picked.labels.tolist() == np.arange(40)[index][[2, 0]].tolist()


def test_taking_from_memory_copies(memory):
    whole = ImageSet(memory, np.arange(40), np.array([str(i) for i in range(40)]))
    picked = whole.take(np.arange(40) < 5)
    assert isinstance(picked.images, np.ndarray)
    assert not np.shares_memory(picked.images, memory)


def labels(count):
    return np.arange(count) % 2


def test_from_arrays_leaves_a_map_in_its_file(memory, mapped, reads):
    given = {"image_size": 8, "ids": [f"x{i}" for i in range(40)]}
    lazy = from_arrays(mapped, labels(40), **given)
    describe(lazy)
    assert reads == []
    plain = from_arrays(memory, labels(40), **given)
    assert isinstance(plain.train.images, np.ndarray)
    assert fingerprint(lazy) == fingerprint(plain)
    assert max(map(len, reads)) <= 40


def test_from_arrays_mixes_maps_memory_and_unlabelled_test_images(memory, mapped, reads):
    blank = np.where(np.arange(10) < 3, -1, 0)
    for test in (memory[:10], mapped[:10]):
        lazy = from_arrays(mapped, labels(40), images_test=test, labels_test=blank, image_size=8)
        assert reads == []
        plain = from_arrays(
            memory, labels(40), images_test=memory[:10], labels_test=blank, image_size=8
        )
        assert len(lazy.test) == 7
        assert fingerprint(lazy) == fingerprint(plain)
        reads.clear()


@pytest.mark.parametrize("kind", ["float", "grey", "flat grey", "size"])
def test_other_maps_are_converted_like_arrays(tmp_path, monkeypatch, memory, kind):
    array = {
        "float": (memory / 255).astype(np.float32),
        "grey": memory[..., :1],
        "flat grey": memory[..., 0],
        "size": memory[:, :6],
    }[kind]
    plain = from_arrays(array, labels(40), image_size=8)
    np.save(tmp_path / "y.npy", array)
    monkeypatch.setattr("lll.data.sources.arrays.CHUNK_BYTES", 700)
    lazy = from_arrays(np.load(tmp_path / "y.npy", mmap_mode="r"), labels(40), image_size=8)
    assert isinstance(lazy.train.images, np.ndarray)
    assert fingerprint(lazy) == fingerprint(plain)


def test_a_bad_float_is_named_by_its_place_in_the_whole(monkeypatch, memory):
    monkeypatch.setattr("lll.data.sources.arrays.CHUNK_BYTES", 700)
    array = memory / 255
    array[33, 0, 0, 0] = 1.5
    with pytest.raises(UserError, match=r"holds 1\.5 in image 33"):
        from_arrays(array, labels(40), image_size=8)


def test_a_known_fingerprint_does_not_outlive_a_change(memory):
    data = from_arrays(memory, labels(40), image_size=8).with_fingerprint("abc")
    assert data.fingerprint == "abc"
    assert replace(data, test=data.train).fingerprint == ""


def test_the_file_is_read_and_not_the_map(mapped):
    (part,) = Rows.of(mapped[7:]).parts
    assert isinstance(part, InFile)
    np.testing.assert_array_equal(part[np.array([0, 1, 5])], mapped[[7, 8, 12]])
    np.testing.assert_array_equal(pickle.loads(pickle.dumps(part))[np.array([2])], mapped[[9]])


def test_maps_that_are_not_as_their_file_are_read_themselves(tmp_path, memory, mapped):
    private = np.load(mapped.filename, mmap_mode="c")
    private[3] = 9
    steps = mapped[::2]
    gone = np.memmap(tmp_path / "gone", np.uint8, "w+", shape=memory.shape)
    gone[:] = memory
    (tmp_path / "gone").unlink()
    for array in (private, steps, gone):
        rows = Rows.of(array)
        assert isinstance(rows.parts[0], np.memmap)
        np.testing.assert_array_equal(rows[1:5], array[1:5])
        assert type(rows[1:5]) is np.ndarray


def test_raw_maps_with_an_offset(tmp_path, memory):
    (tmp_path / "raw").write_bytes(bytes(5000) + memory.tobytes())
    raw = np.memmap(tmp_path / "raw", np.uint8, "r", offset=5000, shape=memory.shape)
    assert isinstance(Rows.of(raw).parts[0], InFile)
    np.testing.assert_array_equal(Rows.of(raw), memory)
    np.testing.assert_array_equal(Rows.of(raw[3:])[-2:], memory[-2:])


def test_a_file_cut_short_is_named(mapped):
    rows = Rows.of(mapped)
    with Path(mapped.filename).open("r+b") as file:
        file.truncate(1000)
    with pytest.raises(UserError, match=r"x\.npy has become shorter"):
        rows[:]


@pytest.mark.skipif(not hasattr(resource, "RUSAGE_SELF"), reason="no getrusage")
def test_memory_held_does_not_grow_with_the_file(tmp_path):
    """A map of 600 MB, all of it read in another process, which never holds a sixth of it."""
    file = np.lib.format.open_memmap(
        tmp_path / "big.npy", mode="w+", dtype=np.uint8, shape=(200_000, 32, 32, 3)
    )
    file.flush()
    code = (
        "import sys, resource, numpy as np\n"
        "from lll.data import from_arrays\n"
        "from lll.data.fingerprint import fingerprint\n"
        "peak = lambda: resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024\n"
        "before = peak()\n"
        "x = np.load(sys.argv[1], mmap_mode='r')\n"
        "data = from_arrays(x, np.arange(len(x)) % 2, ids=np.arange(len(x)).astype(str),"
        " images_test=x[:2], labels_test=[0, 1], ids_test=['a', 'b'])\n"
        "fingerprint(data)\n"
        "for at in np.array_split(np.random.default_rng(0).permutation(len(data.train)), 400):\n"
        "    data.train.images[at]\n"
        "print(peak() - before)\n"
    )
    out = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path / "big.npy")],
        capture_output=True,
        text=True,
        check=True,
        timeout=120,
    )
    assert int(out.stdout) < 100, out.stdout
