"""Data in places of fsspec's: what is loaded is what a local folder gives, copied once."""

import io
import zipfile

import fsspec
import numpy as np
import pyarrow.parquet as pq
import pytest
from PIL import Image
from tests.processes import in_process, one_line
from tests.tiny import tiny_config

from lll import UserError, load_data, train
from lll.data import typical_side

ROOT = "memory://bucket/photos"


def png(colour, side=40):
    buffer = io.BytesIO()
    Image.new("RGB", (side, side), colour).save(buffer, "png")
    return buffer.getvalue()


FILES = {
    f"{name}/{number}.png": png((40 * number, 200 if name == "cat" else 20, 60))
    for name in ("cat", "dog")
    for number in range(6)
}


@pytest.fixture
def system(monkeypatch):
    """fsspec's storage in memory with `FILES`, and a count of what is fetched from it."""
    system = fsspec.filesystem("memory")
    system.store.clear()
    for name, content in FILES.items():
        system.pipe_file(f"/bucket/photos/{name}", content)
    fetched, get_file = [], system.get_file
    monkeypatch.setattr(
        type(system), "get_file", lambda self, a, b, **how: [fetched.append(a), get_file(a, b)]
    )
    system.fetched = fetched
    yield system
    system.store.clear()


def local(folder):
    for name, content in FILES.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(content)
    return folder


def same(one, other):
    assert (one.name, one.class_names) == (other.name, other.class_names)
    for ours, theirs in ((one.train, other.train), (one.test, other.test)):
        assert ours.ids.tolist() == theirs.ids.tolist()
        assert ours.labels.tolist() == theirs.labels.tolist()
        assert np.array_equal(np.asarray(ours.images), np.asarray(theirs.images))


def test_a_folder_elsewhere_is_as_one_here_and_is_copied_once(system, tmp_path):
    cache = tmp_path / "cache"
    same(load_data(ROOT, cache=cache), load_data(local(tmp_path / "photos"), cache=cache))
    assert len(system.fetched) == len(FILES)
    load_data(ROOT, cache=cache)
    assert len(system.fetched) == len(FILES)
    system.pipe_file("/bucket/photos/cat/9.png", png((1, 2, 3)))
    system.pipe_file("/bucket/photos/dog/0.png", png((9, 9, 9)))
    system.rm_file("/bucket/photos/cat/0.png")
    data = load_data(ROOT, cache=cache)
    assert sorted(system.fetched[len(FILES) :]) == [
        "/bucket/photos/cat/9.png",
        "/bucket/photos/dog/0.png",
    ]
    ids = {*data.train.ids, *data.test.ids}
    assert "cat/9.png" in ids and "cat/0.png" not in ids


@pytest.mark.parametrize("kind", ["folder", "zip"])
def test_the_side_of_its_images_is_seen_without_copying(kind, system, tmp_path):
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        for name, content in FILES.items():
            archive.writestr(name, content)
    system.pipe_file("/bucket/photos.zip", packed.getvalue())
    source = ROOT if kind == "folder" else f"{ROOT}.zip"
    assert typical_side(source) == 40
    assert system.fetched == []
    same(load_data(source, cache=tmp_path), load_data(local(tmp_path / "photos"), cache=tmp_path))


def test_a_run_trains_on_it_and_predicts_and_embeds_it(system, tmp_path):
    config = tiny_config(data=ROOT, classes="2", labels="1", epochs=1, batch_size=8)
    run = train(config, tmp_path / "run", cache=tmp_path / "cache")
    assert (run.config.data, run.data.name) == (ROOT, "photos")

    cache, here = ("--cache", tmp_path / "cache"), local(tmp_path / "photos")
    ended = in_process("predict", run.path, f"{ROOT}/cat", f"{ROOT}/dog/3.png", *cache)
    assert (ended.code, ended.err) == (0, "")
    at_home = in_process("predict", run.path, here / "cat", here / "dog" / "3.png")
    assert ended.out == at_home.out.replace(str(here), ROOT)
    assert len(ended.out.splitlines()) == 8

    tables = []
    for name, source in (("there", f"{ROOT}/cat"), ("here", here / "cat")):
        out = tmp_path / f"{name}.parquet"
        assert in_process("embed", run.path, source, "--out", out, *cache).code == 0
        tables.append(pq.read_table(out))
    assert tables[0].equals(tables[1])
    assert tables[0]["id"].to_pylist() == [f"{number}.png" for number in range(6)]

    ended = in_process("predict", run.path, "memory://bucket/absent", *cache)
    assert ended.code == 2
    one_line(ended.err, "memory://bucket/absent does not exist, or holds nothing")


@pytest.mark.parametrize(
    ("source", "said"),
    [
        ("memory://bucket/absent", "memory://bucket/absent does not exist, or holds nothing"),
        ("nothing://x/y", "nothing://x/y: Protocol not known: nothing"),
    ],
)
def test_what_is_not_there_is_one_line(source, said, system, tmp_path):
    with pytest.raises(UserError) as error:
        load_data(source, cache=tmp_path)
    assert str(error.value).startswith(said)


def test_a_name_cannot_leave_the_copy(system, tmp_path, monkeypatch):
    monkeypatch.setattr(
        type(system), "find", lambda *_, **__: {"/bucket/photos/../../../evil.png": {"size": 1}}
    )
    with pytest.raises(UserError, match="which leaves it"):
        load_data(ROOT, cache=tmp_path / "cache")
    assert not list(tmp_path.rglob("evil*"))


@pytest.mark.filterwarnings("ignore")  # of the packages for S3, about themselves
def test_a_bucket_of_s3(tmp_path, monkeypatch):
    """By a server of moto's on this machine."""
    pytest.importorskip("s3fs", reason="needs s3fs")
    server = pytest.importorskip("moto.server", reason="needs moto[server]").ThreadedMotoServer(
        ip_address="127.0.0.1", port=0, verbose=False
    )
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "stand-in")
    server.start()
    try:
        host, port = server.get_host_and_port()
        monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://{host}:{port}")
        there = fsspec.filesystem("s3", skip_instance_cache=True)
        there.mkdir("bucket")
        for name, content in FILES.items():
            there.pipe_file(f"bucket/photos/{name}", content)
        source, cache = "s3://bucket/photos", tmp_path / "cache"
        assert typical_side(source) == 40
        same(load_data(source, cache=cache), load_data(local(tmp_path / "photos"), cache=cache))
        there.pipe_file("bucket/photos/cat/9.png", png((1, 2, 3)))
        data = load_data(source, cache=cache)
        assert "cat/9.png" in {*data.train.ids, *data.test.ids}
        with pytest.raises(UserError, match=r"s3://other/x"):
            load_data("s3://other/x", cache=cache)
    finally:
        server.stop()
