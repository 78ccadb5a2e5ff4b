"""Checkpoints: written whole, kept while needed, read back to the bit."""

import hashlib
import json
import os
import shutil
from pathlib import Path

import pytest
import torch
from tests.processes import save_checkpoint
from torch import nn

from lll.errors import UserError
from lll.runs import checkpoint as module
from lll.runs.checkpoint import Checkpoint, Position, go_back, load_checkpoint


def state_of(position, seed=0):
    """A network with an optimizer that has a history, at ``position``."""
    torch.manual_seed(seed)
    net = nn.Sequential(nn.Conv2d(3, 2, 3), nn.Linear(4, 2)).to(memory_format=torch.channels_last)
    optimizer = torch.optim.Adam(net.parameters(), fused=True)
    for parameter in net.parameters():
        parameter.grad = torch.randn_like(parameter)
    optimizer.step()
    return Checkpoint(
        position=position,
        config={"data": "pets", "labels": "0.1:0.9", "epochs": 3, "flip": 0.5},
        weights=net.state_dict(),
        optimizers={"contrastive": optimizer.state_dict()},
        trace={"contrast_loss": torch.tensor([0.1, float("inf"), -0.0]), "none": torch.empty(0)},
        seconds=1.25,
    )


def names(run):
    return sorted(p.name for p in (run / "checkpoints").iterdir())


def pointer(run, name):
    return (run / "checkpoints" / name).read_text()


def assert_equal(left, right):
    """Equal to the bit, through dictionaries and lists."""
    assert type(left) is type(right)
    if isinstance(left, dict):
        assert left.keys() == right.keys()
        for key in left:
            assert_equal(left[key], right[key])
    elif isinstance(left, list):
        assert len(left) == len(right)
        for pair in zip(left, right, strict=True):
            assert_equal(*pair)
    elif isinstance(left, torch.Tensor):
        assert left.dtype == right.dtype
        assert left.shape == right.shape
        assert left.contiguous().numpy().tobytes() == right.contiguous().numpy().tobytes()
    else:
        assert left == right


@pytest.mark.parametrize("position", [Position(0), Position(3), Position(3, 12)])
def test_what_is_saved_is_what_is_loaded(tmp_path, position):
    saved = state_of(position)
    assert save_checkpoint(tmp_path, saved) == tmp_path / "checkpoints" / str(position)
    loaded = load_checkpoint(tmp_path)
    for field in ("position", "config", "optimizers", "trace", "seconds"):
        assert_equal(getattr(loaded, field), getattr(saved, field))
    assert_equal(dict(loaded.weights), dict(saved.weights))
    assert_equal(load_checkpoint(tmp_path, str(position)).config, saved.config)


def test_the_files_are_what_the_folder_says(tmp_path):
    home = save_checkpoint(tmp_path, state_of(Position(1)), chosen=True)
    assert names(tmp_path) == ["chosen", "epoch-0001", "latest"]
    assert pointer(tmp_path, "latest") == pointer(tmp_path, "chosen") == "epoch-0001\n"
    sums = json.loads((home / "checksums.json").read_text())
    assert sorted(sums) == ["state.pt", "weights.safetensors"]
    for name, value in sums.items():
        assert hashlib.sha256((home / name).read_bytes()).hexdigest() == value
    assert torch.load(home / "state.pt", weights_only=True)["seconds"] == 1.25


def test_no_checkpoint_is_none(tmp_path):
    assert load_checkpoint(tmp_path) is None
    assert load_checkpoint(tmp_path, "chosen") is None
    save_checkpoint(tmp_path, state_of(Position(0)))
    assert load_checkpoint(tmp_path, "chosen") is None
    with pytest.raises(UserError, match=r"no checkpoint 'epoch-0007': .*`--checkpoint epoch-0000`"):
        load_checkpoint(tmp_path, "epoch-0007")


def test_two_epochs_and_the_chosen_one_are_kept(tmp_path):
    kept = []
    for epoch, best in enumerate((True, False, True, False, False, False, True)):
        save_checkpoint(tmp_path, state_of(Position(epoch)), chosen=best)
        kept.append(" ".join(n[-1] for n in names(tmp_path) if n.startswith("epoch")))
        assert pointer(tmp_path, "latest").strip() == str(Position(epoch))
        assert load_checkpoint(tmp_path).position == Position(epoch)
    assert kept == ["0", "0 1", "1 2", "2 3", "2 3 4", "2 4 5", "5 6"]


def test_the_middle_of_an_epoch_is_dropped_once_the_epoch_is_over(tmp_path):
    for position in ((1,), (1, 3), (1, 5), (2,), (3,)):
        save_checkpoint(tmp_path, state_of(Position(*position)))
    assert names(tmp_path) == ["epoch-0002", "epoch-0003", "latest"]


def test_a_checkpoint_that_nothing_names_is_written_anew(tmp_path):
    """It is what a kill left."""
    home = save_checkpoint(tmp_path, state_of(Position(1)))
    (tmp_path / "checkpoints" / "latest").unlink()
    (home / "state.pt").write_bytes(b"half")
    save_checkpoint(tmp_path, state_of(Position(1)))
    assert load_checkpoint(tmp_path).position == Position(1)


def test_temporary_files_of_a_kill_are_cleared(tmp_path):
    save_checkpoint(tmp_path, state_of(Position(0)))
    folder = tmp_path / "checkpoints"
    (folder / ".epoch-0001.99.tmp").mkdir()
    (folder / ".epoch-0001.99.tmp" / "weights.safetensors").write_text("half")
    (folder / ".latest.99.tmp").write_text("half")
    save_checkpoint(tmp_path, state_of(Position(1)))
    assert names(tmp_path) == ["epoch-0000", "epoch-0001", "latest"]


def test_each_file_is_on_disk_before_its_folder_is_renamed(tmp_path, monkeypatch):
    """And `latest` is written when the checkpoint it names is there."""
    flushed, renamed = [], []
    fsync, rename, replace = os.fsync, Path.rename, Path.replace

    def spy(descriptor):
        flushed.append(os.fstat(descriptor).st_ino)
        fsync(descriptor)

    def spy_rename(path, target):
        files = {file.name: file.stat().st_ino in flushed for file in path.iterdir()}
        renamed.append((Path(target).name, files))
        return rename(path, target)

    def spy_replace(path, target):
        if target.name in ("latest", "chosen"):
            assert (tmp_path / "checkpoints" / path.read_text().strip()).is_dir()
            renamed.append((target.name, path.stat().st_ino in flushed))
        return replace(path, target)

    monkeypatch.setattr(os, "fsync", spy)
    monkeypatch.setattr(Path, "rename", spy_rename)
    monkeypatch.setattr(Path, "replace", spy_replace)
    save_checkpoint(tmp_path, state_of(Position(1)), chosen=True)
    files = dict.fromkeys(("weights.safetensors", "state.pt", "checksums.json"), True)
    assert renamed == [("epoch-0001", files), ("chosen", True), ("latest", True)]


@pytest.mark.parametrize("at", range(4))
def test_a_write_that_fails_leaves_the_earlier_checkpoints(tmp_path, monkeypatch, at):
    for epoch in range(3):
        save_checkpoint(tmp_path, state_of(Position(epoch)), chosen=epoch == 0)
    before = {p: p.read_bytes() for p in tmp_path.rglob("*") if p.is_file()}
    real, calls = module.write_durably, iter(range(99))

    def fails(path, content):
        if next(calls) == at:
            raise UserError("the disk is full")
        real(path, content)

    monkeypatch.setattr(module, "write_durably", fails)
    with pytest.raises(UserError, match="the disk is full"):
        save_checkpoint(tmp_path, state_of(Position(3)))
    now = {p: p.read_bytes() for p in tmp_path.rglob("*") if p.is_file()}
    assert {p: now.get(p) for p in before} == before
    assert load_checkpoint(tmp_path).position == Position(2)
    monkeypatch.undo()
    save_checkpoint(tmp_path, state_of(Position(3)))
    assert load_checkpoint(tmp_path).position == Position(3)


# --- going back -------------------------------------------------------------------------------


@pytest.fixture
def run(tmp_path):
    """Checkpoints of epochs 1, 3, 4 and the middle of 5; that of epoch 3 is chosen."""
    for epoch, step in ((1, 0), (3, 0), (4, 0), (4, 7)):
        save_checkpoint(tmp_path, state_of(Position(epoch, step)), chosen=epoch == 3)
    home = tmp_path / "checkpoints"
    shutil.copytree(home / "epoch-0003", home / "epoch-0001")
    return tmp_path


@pytest.mark.parametrize(
    ("back", "new", "left"),
    [
        ((4, 7), (5,), "chosen epoch-0003 epoch-0004-step-0007 epoch-0005"),
        ((4,), (4, 1), "chosen epoch-0003 epoch-0004 epoch-0004-step-0001"),
        ((3,), (4,), "chosen epoch-0003 epoch-0004"),
        ((1,), (2,), "epoch-0001 epoch-0002"),
    ],
)
def test_going_back_removes_what_came_later_once_there_is_a_new_one(run, back, new, left):
    before = {*names(run), "chosen"} - ({"chosen"} if back < (3,) else set())
    go_back(run, Position(*back))
    assert set(names(run)) == before
    assert pointer(run, "latest") == f"{Position(*back)}\n"
    save_checkpoint(run, state_of(Position(*new)))
    assert names(run) == [*left.split(), "latest"]
    assert load_checkpoint(run).position == Position(*new)


def test_nothing_names_what_is_removed_after_going_back(run, monkeypatch):
    """At each removal both pointers already name something that stays."""
    remove, seen = shutil.rmtree, []

    def spy(path, *more, **other):
        named = [pointer(run, name).strip() for name in ("latest", "chosen") if name in names(run)]
        assert path.name not in named
        if path.is_dir():
            seen.append(path.name)
        remove(path, *more, **other)

    go_back(run, Position(1))
    monkeypatch.setattr(shutil, "rmtree", spy)
    save_checkpoint(run, state_of(Position(3)))
    assert sorted(seen) == ["epoch-0003", "epoch-0004", "epoch-0004-step-0007"]


@pytest.mark.parametrize("kept", [9999, 10000])
def test_the_ten_thousandth_epoch_comes_after_the_one_before(tmp_path, kept):
    for epoch in range(9998, kept + 1):
        save_checkpoint(tmp_path, state_of(Position(epoch)))
    assert names(tmp_path) == sorted([*map(str, map(Position, (kept - 1, kept))), "latest"])


NO_NAMES = ["./epoch-0003", "{run}/checkpoints/epoch-0003", "../checkpoints/epoch-0003", "", "."]
NO_NAMES += ["epoch-3", "epoch-00003", "epoch-0003/", "epoch-0007", "checksums", "epoch-٠٠٠٣"]


@pytest.mark.parametrize("which", NO_NAMES)
def test_a_checkpoint_is_named_plainly(run, which):
    which = which.format(run=run)
    with pytest.raises(UserError, match=r"no checkpoint .*`--checkpoint epoch-0004-step-0007`"):
        load_checkpoint(run, which)
    (run / "checkpoints" / "latest").write_text(f"{which}\n")
    if Position.of(which) is None:
        with pytest.raises(UserError, match=r"latest: corrupt .*it names .*--checkpoint epoch-0"):
            load_checkpoint(run)


def test_a_checkpoint_of_another_name_is_found_out(run):
    home = run / "checkpoints"
    (home / "epoch-0003").rename(home / "epoch-0002")
    with pytest.raises(UserError, match=r"epoch-0002/state.pt: corrupt .*it is epoch-0003"):
        load_checkpoint(run, "epoch-0002")


# --- damage -----------------------------------------------------------------------------------


@pytest.mark.parametrize("file", ["weights.safetensors", "state.pt"])
def test_a_single_flipped_bit_is_found(tmp_path, file):
    home = save_checkpoint(tmp_path, state_of(Position(1)))
    whole = (home / file).read_bytes()
    for at in range(0, len(whole), max(len(whole) // 20, 1)):
        (home / file).write_bytes(whole[:at] + bytes([whole[at] ^ 16]) + whole[at + 1 :])
        with pytest.raises(UserError, match=rf"{file}: corrupt checkpoint \(its checksum"):
            load_checkpoint(tmp_path)
    (home / file).write_bytes(whole)
    assert load_checkpoint(tmp_path).position == Position(1)


@pytest.mark.parametrize("file", ["weights.safetensors", "state.pt", "checksums.json"])
@pytest.mark.parametrize("content", [None, b"", b"{}", b"\x80\x05N.", b"PK\x03\x04", b"\xff" * 99])
def test_a_file_with_anything_else_in_it_is_one_line(tmp_path, file, content):
    """Even where the checksum is right."""
    home = save_checkpoint(tmp_path, state_of(Position(1)))
    (home / file).unlink() if content is None else (home / file).write_bytes(content)
    if content is not None and file != "checksums.json":
        sums = json.loads((home / "checksums.json").read_text())
        sums[file] = hashlib.sha256(content).hexdigest()
        (home / "checksums.json").write_text(json.dumps(sums))
    with pytest.raises(UserError, match=r"corrupt checkpoint .*: train again") as error:
        load_checkpoint(tmp_path)
    assert str(home) in str(error.value)
    assert "\n" not in str(error.value)
    assert "\x1b" not in str(error.value)
