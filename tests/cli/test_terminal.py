"""What is printed: on any terminal or pipe, of any name, and what happens when it cannot be."""

import os
import pty
import threading

import numpy as np
import pytest
from PIL import Image
from tests.processes import flags, one_line, shared_nursery
from tests.tiny import tiny_data

from lll import load_run
from lll.words import visible

NAMES = ["[red]a[/red]", "b\x1b[31m", "[/]:smile:", "é猫 d"]


@pytest.fixture(scope="module")
def nursery():
    return shared_nursery()


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    """A data set whose class names are markup, escape sequences and no ASCII."""
    tiny = tiny_data(each=12)
    path = tmp_path_factory.mktemp("data") / "[b]tiny.npz"
    np.savez(
        path,
        images=tiny.train.images,
        labels=tiny.train.labels,
        images_test=tiny.test.images,
        labels_test=tiny.test.labels,
        class_names=np.array(NAMES),
    )
    return path


@pytest.fixture(scope="module")
def trained(nursery, data, tmp_path_factory):
    """A run of two epochs in a folder whose name is markup, and an image of such a name."""
    folder = tmp_path_factory.mktemp("run")
    run = folder / "[bold]r"
    ended = nursery.run("train", *flags(data, epochs=2), "--out", run)
    assert ended.code == 0, ended.err
    Image.fromarray(tiny_data().test.images[0]).save(folder / "[i]\x1b[5m.png")
    return run, folder / "[i]\x1b[5m.png", ended


def on_a_terminal(nursery, *arguments, **given):
    """The exit code of `lll` on a terminal of its own, and the bytes that this shows."""
    ours, theirs = pty.openpty()
    shown = []

    def read():
        with open(ours, "rb", buffering=0) as terminal:  # noqa: PTH123 - a descriptor
            try:
                while part := terminal.read(4096):
                    shown.append(part)
            except OSError:  # how Linux says that the other end is closed
                pass

    name = os.ttyname(theirs)
    child = nursery.start(*arguments, out=name, err=name, **given)
    reader = threading.Thread(target=read)
    reader.start()
    ended = child.wait()
    os.close(theirs)
    reader.join()
    return ended.code, b"".join(shown)


@pytest.mark.parametrize("encoding", ["ascii", "latin-1", "utf-8"])
@pytest.mark.parametrize("environment", [{}, {"NO_COLOR": "1", "TERM": "dumb"}], ids=["", "dumb"])
def test_training_on_any_terminal(nursery, data, tmp_path, encoding, environment):
    given = {"encoding": encoding, "environment": {"TERM": "xterm"} | environment}
    code, shown = on_a_terminal(
        nursery, "train", *flags(data, epochs=2), "--out", tmp_path / "run", **given
    )
    text = shown.decode(encoding)
    assert code == 0, text
    assert "epoch 2/2" in text
    assert load_run(tmp_path / "run").finished
    if environment:
        assert "\x1b[3" not in text  # no colour


def test_every_command_in_ascii(nursery, data, trained, tmp_path):
    run, image, _ = trained
    for command in commands(run, data, image, tmp_path):
        ended = nursery.run(*command, encoding="ascii")
        assert ended.code == 0, (command, ended.err)


def commands(run, data, image, out):
    """One call of each command that prints names, or draws while it works."""
    return (
        ("data", "info", data),
        ("schedule", *flags(data), "--picture", out / "[b].png"),
        ("resume", run),
        ("predict", run, image, "--out", out / "[b].csv"),
        ("predict", run, image),
        ("evaluate", run),
    )


def test_names_are_printed_as_text(nursery, data, trained, tmp_path):
    run, image, ended = trained
    assert f"run      {run}" in ended.out
    assert "data     [b]tiny: 4 classes" in ended.out
    said = {}
    for command in commands(run, data, image, tmp_path):
        ended = nursery.run(*command)
        assert ended.code == 0, (command, ended.err)
        if command[:3] != ("predict", run, image) or "--out" in command:
            assert "\x1b" not in ended.out + ended.err, command
        said[command[0]] = ended.out + ended.err
    for name in NAMES:
        assert visible(name) in said["data"]
        assert visible(name) in said["evaluate"]
    assert f"drawn into {tmp_path / '[b].png'}" in said["schedule"]
    code, shown = on_a_terminal(nursery, "predict", run, image)
    assert code == 0
    assert b"\x1b" not in shown
    assert visible(image.name).encode() in shown


def test_a_full_standard_output_is_said_and_nothing_is_lost(nursery, data, trained, tmp_path):
    run, image, _ = trained
    words = "standard output cannot be written", "No space left on device"
    for command in commands(run, data, image, tmp_path):
        if "--out" in command or command[0] == "evaluate":
            continue  # one prints nothing, the other takes seconds to
        ended = nursery.run(*command, out="/dev/full")
        assert ended.code == 2, command
        one_line(ended.err, *words)
    for shown in [], ["--json"], ["--quiet"]:
        path = tmp_path / "".join(["run", *shown])
        ended = nursery.run("train", *flags(data), "--out", path, *shown, out="/dev/full")
        assert ended.code == 2
        one_line(ended.err, *words)
        assert load_run(path).finished
    assert nursery.run("data", "info", data, out="/dev/full", err="/dev/full").code == 2


def test_training_goes_on_when_nobody_reads(nursery, data, tmp_path):
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    reader = os.open(pipe, os.O_RDONLY | os.O_NONBLOCK)
    child = nursery.start("train", *flags(data), "--json", "--out", tmp_path / "run", out=pipe)
    while not (tmp_path / "run" / "metrics.jsonl").exists():
        pass
    os.close(reader)
    assert child.wait().code == 141
    assert load_run(tmp_path / "run").finished
