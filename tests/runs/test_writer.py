"""One process writes into a run folder, and into none but the one that it began in."""

import errno
import os
import shutil
import signal
import socket

import pytest
from tests.processes import (
    Harm,
    assert_latest_is_whole,
    content,
    everything,
    flags,
    one_line,
    shared_nursery,
    write_npz,
)

from lll import load_run
from lll.errors import UserError
from lll.runs.lock import LOCK, locked


@pytest.fixture(scope="module")
def nursery():
    return shared_nursery()


@pytest.fixture(scope="module")
def whole(nursery, tmp_path_factory):
    """Flags, and a run that nothing disturbed."""
    folder = tmp_path_factory.mktemp("whole")
    chosen = flags(write_npz(folder / "tiny.npz", each=25), epochs=3)
    assert nursery.run("train", *chosen, "--out", folder / "run").code == 0
    return chosen, folder / "run"


@pytest.fixture
def halted(nursery, whole, tmp_path):
    """A training in ``tmp_path / "run"`` that stands still after some steps."""
    harm = Harm(step=4, signal=signal.SIGSTOP)
    child = nursery.start("train", *whole[0], "--out", tmp_path / "run", "--quiet", harm=harm)
    child.wait_for_halt()
    yield child
    if not child.over:
        child.kill()
        child.wait()


def go_on(child):
    child.kill(signal.SIGCONT)
    return child.wait()


def refused(ended, *parts):
    assert ended.code == 2, ended
    return one_line(ended.err, *map(str, parts))


def test_a_second_process_is_refused_with_the_first_ones_name(nursery, whole, halted, tmp_path):
    run = tmp_path / "run"
    before = everything(run)
    train = ("train", *whole[0], "--out", run)
    for second in (("resume", run), train, (*train, "--overwrite")):
        refused(nursery.run(*second), run, f"process {halted.pid} on {socket.gethostname()}")
    assert everything(run) == before
    assert not load_run(run).finished  # reading needs no lock
    assert go_on(halted).code == 0
    assert content(run) == content(whole[1])


def test_the_death_of_a_process_frees_its_run(nursery, whole, halted, tmp_path):
    run = tmp_path / "run"
    halted.kill()
    assert halted.wait().code == -9
    assert nursery.run("resume", run).code == 0
    assert content(run) == content(whole[1])


@pytest.mark.parametrize("command", ["train", "resume"])
def test_of_two_at_once_one_trains_and_one_is_refused(nursery, whole, tmp_path, command):
    for number in range(3):
        run = tmp_path / str(number)
        if command == "resume":
            killed = ("train", *whole[0], "--out", run)
            assert nursery.run(*killed, harm=Harm(step=4)).code == -9
        words = ("resume", run) if command == "resume" else ("train", *whole[0], "--out", run)
        ended = [child.wait() for child in [nursery.start(*words) for _ in range(2)]]
        codes = sorted(one.code for one in ended)
        # A second one may come when the first has done it all, and resume says the result again.
        assert codes == [0, 2] or (codes == [0, 0] and command == "resume"), ended
        for one in ended:
            if one.code:
                refused(one, run)
        assert content(run) == content(whole[1])


def test_a_run_folder_that_is_moved_stops_its_training(nursery, whole, halted, tmp_path):
    run, moved = tmp_path / "run", tmp_path / "moved"
    run.rename(moved)
    line = refused(go_on(halted), run, f"{moved}/checkpoints/", f"`lll resume {moved}`")
    assert f"/checkpoints/{assert_latest_is_whole(moved)}:" in line
    assert not run.exists()
    assert nursery.run("resume", moved).code == 0
    assert content(moved) == content(whole[1])


def test_a_run_folder_that_is_removed_is_not_made_anew(halted, tmp_path):
    run = tmp_path / "run"
    latest = assert_latest_is_whole(run)
    shutil.rmtree(run)
    refused(go_on(halted), run, "is gone", f"was {latest}:")
    assert not run.exists()


def test_another_run_in_its_place_is_left_alone(nursery, whole, halted, tmp_path):
    run = tmp_path / "run"
    shutil.rmtree(run)
    assert nursery.run("train", *whole[0], "--out", run).code == 0
    before = everything(run)
    refused(go_on(halted), run, "is gone")
    assert everything(run) == before


@pytest.mark.parametrize("step", [0, 4])
def test_a_stop_notices_too(nursery, whole, tmp_path, step):
    """A signal saves, and does not save into nothing."""
    run = tmp_path / "run"
    child = nursery.start(
        "train", *whole[0], "--out", run, harm=Harm(step=step, signal=signal.SIGSTOP)
    )
    child.wait_for_halt()
    run.rename(tmp_path / "moved")
    child.kill(signal.SIGINT)
    refused(go_on(child), run, tmp_path / "moved")
    assert not run.exists()


def test_a_file_system_without_locks_is_said(tmp_path, monkeypatch, caplog):
    def flock(descriptor, operation):
        raise OSError(errno.ENOLCK, os.strerror(errno.ENOLCK))

    monkeypatch.setattr("fcntl.flock", flock)
    (tmp_path / LOCK).write_text("77 elsewhere\n")  # left by a kill
    with locked(tmp_path) as lock:
        lock.check(None)
        (said,) = caplog.messages
        for part in (str(tmp_path), "no locks", "No locks available", "process 77 on elsewhere"):
            assert part in said
        with locked(tmp_path):  # nobody keeps it out
            pass
        with pytest.raises(UserError, match=r"is now|is gone"):
            lock.check(None)
    assert (tmp_path / LOCK).read_text() == ""


def test_a_lock_is_free_again_whatever_happened(tmp_path):
    for error in (KeyboardInterrupt, UserError):
        with pytest.raises(error), locked(tmp_path):
            with pytest.raises(UserError, match=f"process {os.getpid()} on .* trains in this run"):
                locked(tmp_path).__enter__()
            raise error("")
    with locked(tmp_path) as lock:
        lock.check(None)
