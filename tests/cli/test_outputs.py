"""Files that a command writes for the user: whole or not at all, with the right remedy."""

import os
import stat

import pytest
from PIL import Image
from tests.processes import Harm, everything, flags, one_line, shared_nursery, write_npz
from tests.tiny import tiny_data

from lll.runs.files import write_whole


@pytest.fixture(scope="module")
def nursery():
    return shared_nursery()


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    return write_npz(tmp_path_factory.mktemp("data") / "tiny.npz", each=12)


@pytest.fixture(scope="module")
def run(nursery, data, tmp_path_factory):
    run = tmp_path_factory.mktemp("run") / "run"
    assert nursery.run("train", *flags(data, epochs=1), "--out", run).code == 0
    Image.fromarray(tiny_data().test.images[0]).save(run.parent / "a.png")
    return run


def writing(run, data, folder):
    """Each command that writes a file, and that file."""
    return {
        ("predict", run, run.parent / "a.png", "--out", folder / "a.csv"): folder / "a.csv",
        ("schedule", *flags(data), "--picture", folder / "a.png"): folder / "a.png",
        ("embed", run, data, "--out", folder / "a.parquet"): folder / "a.parquet",
    }


def test_a_full_disk_keeps_the_old_file_and_advises_the_same_command(nursery, run, data, tmp_path):
    for command, file in writing(run, data, tmp_path).items():
        file.write_text("what was there before")
        before = everything(file.parent)
        ended = nursery.run(*command, harm=Harm(file_bytes=10))
        assert ended.code == 2
        line = one_line(ended.err, f"{file}: the disk is full", "the same command again")
        assert "resume" not in line
        assert everything(file.parent) == before
        assert nursery.run(*command).code == 0
        assert file.read_bytes() != before[file.name]
        assert not list(file.parent.glob(".*"))


def test_a_target_that_cannot_be_made_is_refused_before_the_work(nursery, run, data, tmp_path):
    for command, file in writing(run, data, tmp_path / "missing").items():
        ended = nursery.run(*command)
        assert ended.code == 2
        one_line(ended.err, f"{file}: its folder does not exist: make it first")


def test_links_modes_and_devices_stay_what_they_are(tmp_path):
    file, link, pipe = tmp_path / "file", tmp_path / "link", tmp_path / "pipe"
    file.write_bytes(b"old")
    file.chmod(0o640)
    link.symlink_to(file)
    write_whole(link, b"new")
    assert link.is_symlink()
    assert (file.read_bytes(), stat.S_IMODE(file.stat().st_mode)) == (b"new", 0o640)
    os.mkfifo(pipe)
    reader = os.open(pipe, os.O_RDONLY | os.O_NONBLOCK)
    write_whole(pipe, b"through")
    assert os.read(reader, 99) == b"through"
    os.close(reader)
    write_whole(tmp_path / "fresh", b"x")
    umask = os.umask(0)
    os.umask(umask)
    assert stat.S_IMODE((tmp_path / "fresh").stat().st_mode) == 0o666 & ~umask
