"""What is read stays within its budget, and what does not is refused in one line that says it."""

import tracemalloc
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from io import BytesIO

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

from lll.data import load_data
from lll.errors import UserError

MB = 2**20


@pytest.fixture
def bmp():
    """An image file of 300 KB, in the shades of a seed."""

    def make(seed: int) -> bytes:
        pixels = np.random.default_rng(seed).integers(0, 256, (320, 320, 3), dtype=np.uint8)
        out = BytesIO()
        Image.fromarray(pixels).save(out, "BMP")
        return out.getvalue()

    return make


@contextmanager
def memory_of(most: int) -> Iterator[None]:
    """Fails if Python and Arrow together have more than ``most`` bytes at a time."""
    before = pa.default_memory_pool()
    pool = pa.proxy_memory_pool(before)
    pa.set_memory_pool(pool)
    tracemalloc.start()
    try:
        yield
        assert tracemalloc.get_traced_memory()[1] + pool.max_memory() < most
    finally:
        tracemalloc.stop()
        pa.set_memory_pool(before)


@pytest.fixture
def small_chunks(monkeypatch, tmp_path, plant):
    load_data(plant(tmp_path / "first", "a/1.png b/1.png"), test_share=0)  # imports take memory too
    for room in ("decoding", "sources.batches"):
        monkeypatch.setattr(f"lll.data.{room}.CHUNK_BYTES", MB)


@pytest.mark.parametrize("kind", ["one image repeated", "many images", "many and repeated"])
@pytest.mark.parametrize("column", ["struct", "binary"])
def test_parquet_takes_no_more_than_a_chunk(tmp_path, bmp, small_chunks, monkeypatch, kind, column):
    count = 100  # 30 MB
    cells = [bmp(0 if kind == "one image repeated" else i // 2) for i in range(count)]
    images = pa.array(cells, pa.binary())
    if column == "struct":
        images = pa.StructArray.from_arrays(
            [images, pa.nulls(count, pa.string())], ["bytes", "path"]
        )
    labels = ["a" * 100_000 if i % 2 else "b" for i in range(count)]
    table = pa.table({"image": images, "label": labels})
    options = {
        "compression": "zstd",
        "use_dictionary": kind != "many images",
        "write_batch_size": 1,
    }
    pq.write_table(table, tmp_path / "x.parquet", **options)  # pages of 1 MB
    del cells, images, labels, table
    with memory_of(8 * MB):
        data = load_data(tmp_path / "x.parquet", image_size=8)
    assert len(data.train) + len(data.test) == count


def test_a_folder_takes_no_more_than_a_chunk(tmp_path, bmp, small_chunks):
    for i in range(60):  # 18 MB
        (tmp_path / "d" / "ab"[i % 2]).mkdir(parents=True, exist_ok=True)
        (tmp_path / "d" / "ab"[i % 2] / f"{i}.bmp").write_bytes(bmp(i))
    with memory_of(5 * MB):
        assert len(load_data(tmp_path / "d", image_size=8, test_share=0).train) == 60


def refused(path, *parts: str) -> None:
    with memory_of(16 * MB), pytest.raises(UserError) as error:
        load_data(path)
    message = str(error.value)
    assert str(path) in message
    assert all(part in message for part in parts), message


def test_parquet_that_unpacks_to_too_much_is_refused(tmp_path):
    path = tmp_path / "x.parquet"
    table = pa.table({"image": [bytes(20 * MB), bytes(20 * MB)], "label": [0, 1]})
    pq.write_table(table, path, compression="zstd", use_dictionary=False)
    refused(path, "times its size, more than 200", "like a bomb")
    rows = 3_000_000
    table = pa.table({"image": pa.nulls(rows, pa.binary()), "label": np.zeros(rows, np.int8)})
    pq.write_table(table, path, compression="zstd")
    refused(path, "times its size, more than 200")


def test_npz_that_unpacks_to_too_much_is_refused(tmp_path, monkeypatch):
    path = tmp_path / "x.npz"
    labels = np.arange(3) % 2
    np.savez_compressed(path, images=np.zeros((3, 5000, 1000), np.uint8), labels=labels)
    assert len(load_data(path).train)  # under 16 MiB
    np.savez_compressed(path, images=np.zeros((3, 6000, 1000), np.uint8), labels=labels)
    refused(path, "times its size, more than 200", "numpy.save")
    monkeypatch.setattr("lll.data.sources.npz.MAX_NPZ_BYTES", 2 * MB)
    np.savez(path, images=np.zeros((3, 1000, 1000), np.uint8), labels=labels)
    refused(path, "unpacks to ", "more than 2 MiB", "memory map")
    # 1 x 1 pixel each, and 3,072 bytes when they are images of 32 x 32.
    np.savez(path, images=np.zeros((1000, 1, 1), np.uint8), labels=np.arange(1000) % 2)
    refused(path, "unpacks to 2.93 MiB")


def test_npz_of_what_no_array_holds_is_refused(tmp_path):
    path = tmp_path / "x.npz"
    images, labels = np.zeros((4, 8, 8), np.uint8), np.array(["a", "b", "a", "b"])
    bad = np.array([0x110000, 97, 97, 97], np.uint32).view("U1")
    for name in ("labels", "class_names", "ids"):
        given = {"images": images, "labels": labels, "class_names": np.array(["a", "b"])}
        np.savez(path, **(given | {name: bad}))
        refused(path, f"{name} contains an invalid character")
    np.savez(path, images=images, labels=labels, class_names=np.array("ab"))
    refused(path, "class_names is <U2 of shape []")
    np.savez(path, images=images, labels=np.empty(0, "U0"))
    header = BytesIO()
    claim = {"descr": "<U0", "fortran_order": False, "shape": (10**12,)}
    np.lib.format.write_array_header_1_0(header, claim)
    with zipfile.ZipFile(path, "a") as out:
        out.writestr("y.npy", header.getvalue())
    np.savez(path, images=images)
    with zipfile.ZipFile(path, "a") as out:
        out.writestr("labels.npy", header.getvalue())
    refused(path, "labels has shape [1000000000000] for 4 images")
    with zipfile.ZipFile(path, "w") as out:
        out.writestr("images", b"not an array")
        out.writestr("labels", b"not an array")
    refused(path, "images is not an array")


def test_a_table_that_is_too_large_is_refused(tmp_path, plant, monkeypatch):
    root = plant(tmp_path / "d", "1.png 2.png")
    (root / "labels.csv").write_text("file,label\n1.png," + "a" * 200_000)
    refused(root, "labels.csv line 2: field larger than field limit")
    monkeypatch.setattr("lll.data.sources.table.MAX_TABLE_BYTES", 50)
    (root / "labels.csv").write_text("file,label\n1.png," + "a" * 34)
    refused(root, "labels.csv is larger than 50 bytes")


def test_ids_that_take_too_much_are_refused(tmp_path, plant, monkeypatch):
    root = plant(tmp_path / "d", f"a/1.png a/2.png b/{'x' * 100}.png")
    monkeypatch.setattr("lll.data.assemble.MAX_ID_BYTES", 1000)
    refused(root, "3 images, one with a path of 106 characters")


@pytest.mark.parametrize("kind", ["image", "label"])
def test_columns_that_stand_twice_are_named(tmp_path, make_image, kind):
    columns = {"image": [make_image(1), make_image(2)], "label": [0, 1]}
    names = [*columns, kind]
    table = pa.table([pa.array(columns[name]) for name in names], names=names)
    pq.write_table(table, tmp_path / "x.parquet")
    refused(tmp_path / "x.parquet", f"several columns '{kind}'")


ODD_SCHEMAS = {
    "not UTF-8": b"\xff\xfe{",
    "no object": b"[]",
    "deep": b"[" * 100_000,
    "features a list": b'{"info": {"features": [1, 2]}}',
    "features a number": b'{"info": {"features": 7}}',
}
HARMLESS_SCHEMAS = {
    "names a number": b'{"info": {"features": {"label": {"names": 7}}}}',
    "names a text": b'{"info": {"features": {"label": {"names": "ab"}}}}',
    "feature a list": b'{"info": {"features": {"label": []}}}',
    "no features": b'{"info": {"features": {}}}',
}


@pytest.mark.parametrize("schema", [*ODD_SCHEMAS, *HARMLESS_SCHEMAS])
def test_odd_metadata_of_a_schema(tmp_path, make_image, schema):
    table = pa.table({"image": [make_image(i) for i in range(4)], "label": [0, 1, 0, 1]})
    text = (ODD_SCHEMAS | HARMLESS_SCHEMAS)[schema]
    path = tmp_path / "x.parquet"
    pq.write_table(table.replace_schema_metadata({b"huggingface": text}), path)
    if schema in HARMLESS_SCHEMAS:
        assert load_data(path).class_names == ("0", "1")
    else:
        refused(path, "metadata is damaged")


def test_unsigned_64_bit_labels(tmp_path, make_image):
    images = [make_image(i) for i in range(4)]
    path = tmp_path / "x.parquet"
    for values, wanted in (([5, 2**63 - 1], ("5", "9223372036854775807")), ([0, 1], ("0", "1"))):
        labels = pa.array([*values, *values], pa.uint64())
        pq.write_table(pa.table({"image": images, "label": labels}), path)
        assert load_data(path, test_share=0).class_names == wanted
    for top, said in ((2**63, "label 9223372036854775808 is too large"), (2**64 - 1, "or mean -1")):
        labels = pa.array([5, top, 5, top], pa.uint64())
        pq.write_table(pa.table({"image": images, "label": labels}), path)
        with pytest.raises(UserError, match=said):
            load_data(path)
    np.savez(tmp_path / "x.npz", images=np.zeros((2, 8, 8), np.uint8), labels=np.uint64([1, 2**63]))
    refused(tmp_path / "x.npz", "label 9223372036854775808 is too large")
