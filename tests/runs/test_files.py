"""Files that are whole or not there."""

import errno
import os
from pathlib import Path

import pytest

from lll.errors import UserError
from lll.runs.files import append_durably, says_when_full, sync_folder, write_durably


@pytest.fixture
def failing(monkeypatch):
    """``failing(errno)``: from now on every flush to disk fails so."""

    def fail(number):
        def fsync(descriptor):
            raise OSError(number, os.strerror(number))

        monkeypatch.setattr(os, "fsync", fsync)

    return fail


def test_written_bytes_are_read_again(tmp_path):
    path = tmp_path / "a"
    for content in (b"", b"one", b"\0\xff" * 5000, b"two"):
        write_durably(path, content)
        assert path.read_bytes() == content
    assert [p.name for p in tmp_path.iterdir()] == ["a"]


def test_appended_bytes_follow_the_others(tmp_path):
    path = tmp_path / "a"
    for content in (b"1\n", b"", b"22\n"):
        append_durably(path, content)
    assert path.read_bytes() == b"1\n22\n"


def test_a_file_is_flushed_before_it_gets_its_name_and_the_name_after(tmp_path, monkeypatch):
    path, calls = tmp_path / "a", []
    fsync, replace = os.fsync, os.replace

    def spy_fsync(descriptor):
        calls.append(("flush", os.fstat(descriptor).st_ino, path.exists()))
        fsync(descriptor)

    monkeypatch.setattr(os, "fsync", spy_fsync)
    monkeypatch.setattr(os, "replace", lambda *a: calls.append("rename") or replace(*a))
    write_durably(path, b"x")
    inodes = path.stat().st_ino, tmp_path.stat().st_ino
    flushes = [call for call in calls if call != "rename"]
    assert flushes == [("flush", inodes[0], False), ("flush", inodes[1], True)]


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT, errno.EFBIG])
def test_a_full_disk_leaves_the_old_content(tmp_path, failing, number):
    path = tmp_path / "a"
    write_durably(path, b"old")
    failing(number)
    with pytest.raises(UserError, match=f"{path}: the disk is full .*free some space"):
        write_durably(path, b"new")
    assert path.read_bytes() == b"old"
    assert [p.name for p in tmp_path.iterdir()] == ["a"]


@pytest.mark.parametrize("number", [errno.EACCES, errno.EROFS, errno.EIO, errno.ENAMETOOLONG])
def test_any_other_trouble_names_the_file(tmp_path, failing, number):
    failing(number)
    with pytest.raises(UserError, match=f"{tmp_path / 'a'}: cannot be written"):
        write_durably(tmp_path / "a", b"new")
    assert not list(tmp_path.iterdir())


def test_an_interrupt_leaves_the_old_content(tmp_path, monkeypatch):
    path = tmp_path / "a"
    write_durably(path, b"old")

    def interrupt(descriptor):
        raise KeyboardInterrupt

    monkeypatch.setattr(os, "fsync", interrupt)
    with pytest.raises(KeyboardInterrupt):
        write_durably(path, b"new")
    assert path.read_bytes() == b"old"
    assert [p.name for p in tmp_path.iterdir()] == ["a"]


def test_a_user_error_passes(tmp_path):
    with pytest.raises(UserError, match=r"^mine$"), says_when_full(tmp_path):
        raise UserError("mine")


def test_syncing_a_folder_leaves_no_file_open(tmp_path):
    before = len(list(Path("/dev/fd").iterdir()))
    for _ in range(3):
        sync_folder(tmp_path)
    assert len(list(Path("/dev/fd").iterdir())) == before
