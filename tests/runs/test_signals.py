"""Asked to stop, a run saves where it is, says so, and goes on later to the same end."""

import signal
import subprocess
import sys

import pytest
from tests.processes import (
    ENVIRONMENT,
    Harm,
    assert_latest_is_whole,
    content,
    flags,
    one_line,
    shared_nursery,
    stop_after,
    write_npz,
)
from tests.tiny import tiny_config, tiny_data

from lll import RunStopped, Watch, resume, train
from lll.cli.signals import stop_signals

STOPS = {
    signal.SIGTERM: 143,
    signal.SIGINT: 130,
    signal.SIGHUP: 129,
    signal.SIGUSR1: 138,
}


@pytest.fixture(scope="module")
def nursery():
    return shared_nursery()


@pytest.fixture(scope="module")
def whole(nursery, tmp_path_factory):
    """Flags, and the content of the run they give when nothing stops it."""
    folder = tmp_path_factory.mktemp("whole")
    chosen = flags(write_npz(folder / "tiny.npz", each=25))
    ended = nursery.run("train", *chosen, "--out", folder / "run")
    assert ended.code == 0, ended.err
    return chosen, content(folder / "run")


def assert_saved(ended, number, run):
    """The one line that says where the run stands, which must be true; its position."""
    assert ended.code == STOPS[number]
    position = assert_latest_is_whole(run)
    one_line(ended.err, number.name, f"saved at {position};", f"go on with `lll resume {run}`")
    return position


@pytest.mark.parametrize(
    ("number", "shown"), [*zip(STOPS, [[], ["--quiet"], ["--json"], []], strict=True)]
)
def test_a_signal_in_the_middle_of_an_epoch(nursery, whole, tmp_path, number, shown):
    chosen, expected = whole
    run = tmp_path / "run"
    # The signal comes in the first step of epoch 2, which is done before the run stops.
    harm = Harm(step=4, signal=number)
    ended = nursery.run("train", *chosen, "--out", run, *shown, harm=harm)
    position = assert_saved(ended, number, run)
    assert position == "epoch-0002-step-0001"
    ended = nursery.run("resume", run, *shown, harm=Harm(step=0, signal=number))
    assert assert_saved(ended, number, run) > position
    assert nursery.run("resume", run).code == 0
    assert content(run) == expected


@pytest.mark.parametrize(
    "number", [signal.SIGTERM, pytest.param(signal.SIGHUP, marks=pytest.mark.slow)]
)
def test_a_real_command_gets_a_signal(nursery, tmp_path, number):
    run = tmp_path / "run"
    long = flags(write_npz(tmp_path / "tiny.npz"), epochs=400, seed=int(number))
    process = subprocess.Popen(
        [sys.executable, "-m", "lll", "train", *long, "--out", str(run), "--json"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=ENVIRONMENT,
    )
    for line in process.stdout:
        if '"event": "epoch"' in line:
            break
    process.send_signal(number)
    _, err = process.communicate(timeout=60)
    assert process.returncode == STOPS[number]
    position = assert_latest_is_whole(run)
    assert "epoch-0001" <= position < "epoch-0400"
    one_line(err, number.name, f"saved at {position};", f"go on with `lll resume {run}`")


def test_two_signals_are_one(nursery, whole, tmp_path):
    """An impatient second Ctrl-C does not spoil the save."""
    chosen, expected = whole
    run = tmp_path / "run"
    # The first comes before the checkpoint is written, the second while it is.
    child = nursery.start("train", *chosen, "--out", run, harm=Harm(step=1, signal=signal.SIGINT))
    ended = child.wait()
    assert_saved(ended, signal.SIGINT, run)
    harm = Harm(str(run), at=0, match="flush .*state.pt", step=0, signal=signal.SIGINT)
    assert_saved(nursery.run("resume", run, harm=harm), signal.SIGINT, run)
    assert nursery.run("resume", run).code == 0
    assert content(run) == expected


def test_a_signal_while_the_last_epoch_is_saved_comes_too_late(nursery, whole, tmp_path):
    chosen, expected = whole
    run = tmp_path / "run"
    harm = Harm(str(run), at=0, match="rename .*epoch-0004$", signal=signal.SIGTERM)
    ended = nursery.run("train", *chosen, "--out", run, harm=harm)
    assert ended.code == 0
    assert ended.err == ""
    assert content(run) == expected


def test_a_signal_before_training_leaves_no_run(nursery, whole, tmp_path):
    run = tmp_path / "run"
    harm = Harm(data_opened=signal.SIGINT)
    ended = nursery.run("train", *whole[0], "--out", run, harm=harm)
    assert ended.code == 130
    assert ended.err == "lll: interrupted\n"
    assert not run.exists()


def test_a_signal_while_images_are_encoded_keeps_what_is_encoded(nursery, tmp_path):
    """It does not wait for the other images; the same command goes on."""
    cache, run = tmp_path / "cache", tmp_path / "run"
    command = [
        *("train", write_npz(tmp_path / "tiny.npz"), "--encoder", "efficientnet_lite2"),
        *("--method", "logistic", "--image-size", 32, "--feature-views", 1),
        *("--cache", cache, "--out", run, "--quiet"),
    ]
    harm = Harm(str(cache), at=2, match=r"open .*features\.bin", signal=signal.SIGTERM)
    ended = nursery.run(*command, harm=harm)
    assert (ended.code, ended.err) == (143, "lll: interrupted\n")
    assert not run.exists()
    (kept,) = (len(keys.read_bytes()) for keys in cache.rglob("keys.bin"))
    assert nursery.run(*command).code == 0
    assert 0 < kept < max(len(keys.read_bytes()) for keys in cache.rglob("keys.bin"))


def test_a_signal_that_whoever_began_us_ignores_is_ignored(monkeypatch):
    """As nohup does with SIGHUP."""
    monkeypatch.setattr(
        signal,
        "getsignal",
        lambda number: signal.SIG_IGN if number == signal.SIGHUP else signal.SIG_DFL,
    )
    assert stop_signals() == [signal.SIGINT, signal.SIGTERM, signal.SIGUSR1]


def test_a_signal_handler_of_the_callers_is_given_back(tmp_path, monkeypatch):
    from lll import cli

    path = write_npz(tmp_path / "tiny.npz", each=8)
    before = [signal.getsignal(number) for number in STOPS]
    monkeypatch.setattr(
        sys,
        "argv",
        ["lll", "train", *flags(path, epochs=1), "--quiet", "--out", str(tmp_path / "r")],
    )
    with pytest.raises(SystemExit) as exit:
        cli.main()
    assert exit.value.code == 0
    assert [signal.getsignal(number) for number in STOPS] == before


# --- a stop asked for from Python -------------------------------------------------------------

METHODS = {
    "gradual": {},
    "per_class": {"method": "sandbox", "rule": "reclassify_per_class", "epochs": 2},
    "finetune": {"method": "finetune", "epochs": 2},
    "labels_with_replacement": {"labelled_batch_size": 6, "epochs": 2, "unlabelled_pool": "all"},
}
SMALL = tiny_data(each=16, test_each=4)


@pytest.fixture(scope="module")
def never_stopped(tmp_path_factory):
    made = {}

    def of(method):
        """The content of a run that was never stopped, and its number of steps."""
        if method not in made:
            steps = []
            run = train(
                tiny_config(**METHODS[method]),
                tmp_path_factory.mktemp(method) / "run",
                data=SMALL,
                watch=Watch(on_step=lambda *step: steps.append(step)),
            )
            made[method] = (content(run.path), len(steps))
        return made[method]

    return of


def test_a_stop_at_every_step(never_stopped, tmp_path):
    expected, steps = never_stopped("gradual")
    assert steps >= 4
    for step in range(steps):
        path = tmp_path / str(step)
        with pytest.raises(RunStopped, match="stopped and saved at epoch-") as stopped:
            train(tiny_config(), path, data=SMALL, watch=stop_after(step))
        assert str(stopped.value.position) == assert_latest_is_whole(path)
        assert resume(path, data=SMALL).finished
        assert content(path) == expected
    run = train(tiny_config(), tmp_path / "late", data=SMALL, watch=stop_after(steps))
    assert run.finished


@pytest.mark.parametrize("method", METHODS)
def test_a_run_of_single_steps(never_stopped, tmp_path, method):
    """Stopped and resumed after every step."""
    expected, steps = never_stopped(method)
    path, lives = tmp_path / "run", 1
    with pytest.raises(RunStopped):
        train(tiny_config(**METHODS[method]), path, data=SMALL, watch=stop_after(1))
    while True:
        try:
            run = resume(path, data=SMALL, watch=stop_after(1))
            break
        except RunStopped:
            lives += 1
    assert lives == steps - 1
    assert run.finished
    assert content(path) == expected


def test_a_stop_before_anything_new_changes_nothing(never_stopped, tmp_path):
    expected, _ = never_stopped("gradual")
    path = tmp_path / "run"
    with pytest.raises(RunStopped):
        train(tiny_config(), path, data=SMALL, watch=stop_after(2))
    position = assert_latest_is_whole(path)
    for _ in range(3):
        with pytest.raises(RunStopped) as stopped:
            resume(path, data=SMALL, watch=stop_after(0))
        assert str(stopped.value.position) == position
    resume(path, data=SMALL)
    assert content(path) == expected
