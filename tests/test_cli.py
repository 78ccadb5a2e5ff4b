"""Every command as a user types it."""

import csv
import io
import json
import os
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from tests.processes import ENVIRONMENT, everything, flags, in_process, lll, one_line, write_npz
from tests.tiny import tiny_data

from lll import RunConfig, load_run
from lll.config import fields_of
from lll.learn.device import threads_that_fit
from lll.runs.checkpoint import load_checkpoint
from lll.runs.predict import load_learner


@pytest.fixture(autouse=True)
def wide(monkeypatch):
    monkeypatch.setenv("COLUMNS", "200")


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    return write_npz(tmp_path_factory.mktemp("data") / "tiny.npz", each=25)


@pytest.fixture(scope="module")
def short(data):
    """Flags of a run of two epochs; later ones win."""
    return lambda **given: flags(data, **({"epochs": 2} | given))


@pytest.fixture(scope="module")
def trained(short, tmp_path_factory):
    """What `lll train --json` said, and the run it left."""
    run = tmp_path_factory.mktemp("trained") / "run"
    ended = in_process("train", *short(), "--out", run, "--json")
    assert ended.code == 0, ended.err
    return ended, run


@pytest.fixture(scope="module")
def pictures(tmp_path_factory):
    """The test images of the data as PNG files in folders, and one file that is no image."""
    folder = tmp_path_factory.mktemp("pictures")
    images = tiny_data(each=25).test.images[::4]
    (folder / "more").mkdir()
    for i, image in enumerate(images):
        Image.fromarray(image).save(folder / ("more" if i % 2 else "") / f"{i}.png")
    (folder / "more" / "notes.txt").write_text("no image, and not called one")
    return folder


# --- train ------------------------------------------------------------------------------------


def test_train_json_is_one_event_a_line(trained):
    ended, run = trained
    assert ended.err == ""
    plan, *epochs, result = ended.events
    assert [e["event"] for e in ended.events] == ["plan", "epoch", "epoch", "result"]
    assert plan["run"] == result["run"] == str(run)
    assert plan["data"]["class_names"] == list("abcd")
    assert RunConfig(**plan["config"]) == load_run(run).config
    assert [row["labels_known"] for row in plan["epochs"]] == [e["labels_known"] for e in epochs]
    assert all(e["seconds"] > e["evaluate_seconds"] > 0 for e in epochs)
    assert result == {"event": "result", **load_run(run).result}
    assert result["finished"] is True
    assert result["test_accuracy_final"] == epochs[-1]["test_accuracy"]


def test_train_shows_the_plan_the_epochs_and_the_result(short, tmp_path):
    ended = in_process("train", *short(), "--out", tmp_path / "run")
    assert (ended.code, ended.err) == (0, "")
    lines = ended.out.splitlines()
    assert lines[0].startswith("data     tiny: 4 classes, 80 training, 20 validation, 40 test")
    assert "contrast → encoder + projection" in lines[1]
    assert "width 8, on cpu, 2 epochs of batch size 32" in lines[2]
    shown = load_run(tmp_path / "run")
    for epoch, metrics in enumerate(shown.metrics):
        line = next(x for x in lines if x.startswith(f"epoch {epoch + 1}/2"))
        assert f"{metrics['classes']} classes  {metrics['labels_known']} labels" in line
        assert f"test {100 * metrics['test_accuracy']:.1f}%" in line
    final = f"test accuracy {100 * shown.result['test_accuracy_final']:.1f}% after the final epoch"
    assert final in lines
    assert any("chosen on validation" in line for line in lines)
    assert any(re.fullmatch(r"\d+\.\d s per epoch", line) for line in lines)
    assert lines[-1] == f"next: lll predict {tmp_path / 'run'} IMAGES…"


def test_quiet_is_the_result_and_nothing_else(short, tmp_path):
    ended = in_process("train", *short(), "--out", tmp_path / "run", "--quiet")
    assert (ended.code, ended.err) == (0, "")
    kinds = ("labels used", "final epoch", "chosen on validation", "per epoch", "run in")
    lines = ended.out.splitlines()
    assert len(lines) == len(kinds)
    assert all(kind in line for kind, line in zip(kinds, lines, strict=True))


@pytest.mark.parametrize(
    ("threads", "load", "cores", "fitting"),
    [
        (2, 0.4, 2, None),
        (2, 0.9, 2, 1),
        (2, 7.3, 2, 1),
        (1, 9.0, 2, None),
        (8, 5.0, 16, None),
        (8, 10.2, 16, 6),
        (2, 0.0, 1, 1),
    ],
)
def test_threads_fit_where_each_finds_a_core(threads, load, cores, fitting):
    assert threads_that_fit(threads, load, cores) == fitting


@pytest.mark.parametrize("told", [False, True])
def test_a_busy_machine_is_said_in_one_line_unless_threads_are_told(
    told, short, tmp_path, monkeypatch
):
    monkeypatch.setattr(os, "getloadavg", lambda: (4.26, 0.1, 0.1))
    monkeypatch.setattr(os, "cpu_count", lambda: 4)
    monkeypatch.setattr(torch, "get_num_threads", lambda: 2)
    if not told:
        monkeypatch.delenv("OMP_NUM_THREADS")
    ended = in_process("train", *short(), "--out", tmp_path / "run", "--json")
    assert ended.code == 0
    if told:
        assert ended.err == ""
    else:
        one_line(ended.err, "busy (load 4.3 on 4 cores)", "OMP_NUM_THREADS=1 may be faster")


def test_a_flag_wins_over_toml_which_wins_over_defaults(data, tmp_path):
    toml = tmp_path / "c.toml"
    toml.write_text(
        f"data = {json.dumps(str(data))}\nmethod = 'baseline'\nepochs = 2\nwidth = 6\n"
        "classes = [[0, 2], [1, 4]]\nlabels = '3/class'\nbatch_size = 64\ndevice = 'cpu'\n"
    )
    ended = in_process(
        "train", toml, "--epochs", 1, "--width", 8, "--out", tmp_path / "run", "--quiet"
    )
    assert ended.code == 0, ended.err
    config = load_run(tmp_path / "run").config
    assert (config.epochs, config.width, config.batch_size) == (1, 8, 64)
    assert (str(config.classes), str(config.labels)) == ("0=2,1=4", "3/class")
    assert config.activation == "relu"  # the method's default
    assert load_run(tmp_path / "run").metrics[0]["labels_known"] == 6


def test_a_run_repeats_from_its_own_configuration(trained, tmp_path):
    _, run = trained
    ended = in_process("train", run / "config.toml", "--out", tmp_path / "again", "--quiet")
    assert ended.code == 0, ended.err
    for name in ("config.toml", "data.json", "metrics.jsonl", "labels.csv"):
        assert (tmp_path / "again" / name).read_bytes() == (run / name).read_bytes()


@pytest.mark.parametrize(
    ("given", "name"),
    [
        ({"seed": 7}, "tiny-gradual-seed7"),
        ({"method": "sandbox", "rule": "meta_distance"}, "tiny-sandbox-meta_distance-seed1"),
    ],
)
def test_the_default_folder_says_what_is_in_it(short, tmp_path, monkeypatch, given, name):
    monkeypatch.chdir(tmp_path)
    ended = in_process("train", *short(epochs=1, **given), "--json")
    assert ended.code == 0, ended.err
    assert [p.name for p in (tmp_path / "runs").iterdir()] == [name]
    assert ended.events[-1]["run"] == f"runs/{name}"


def test_a_relative_data_path_is_found_from_elsewhere(data, short, tmp_path, monkeypatch):
    monkeypatch.chdir(data.parent)
    ended = in_process(
        "train", *short(data=data.name, epochs=1), "--out", tmp_path / "r", "--quiet"
    )
    assert ended.code == 0, ended.err
    monkeypatch.chdir(tmp_path)
    ended = in_process("resume", "r", "--checkpoint", "epoch-0000", "--quiet")
    assert ended.code == 0, ended.err


def test_finetune_from_a_run(short, trained, tmp_path):
    _, source = trained
    ended = in_process(
        "train",
        *short(method="finetune", epochs=1, width=32, contrastive_rate=0, **{"from": source}),
        *("--out", tmp_path / "run", "--quiet"),
    )
    assert ended.code == 0, ended.err
    run = load_run(tmp_path / "run")
    assert run.config.width == 8  # the source's
    theirs, ours = (load_checkpoint(path).weights for path in (source, run.path))
    # At a rate of 0 the encoder stays the source's.
    assert all(torch.equal(ours[k], theirs[k]) for k in theirs if k.startswith("encoder."))
    assert not torch.equal(ours["probe.weight"], theirs["probe.weight"])


@pytest.mark.parametrize("command", ["train", "schedule"])
def test_every_setting_is_a_flag(command):
    ended = in_process(command, "--help")
    assert ended.code == 0
    for name in fields_of():
        flag = "--from" if name == "from_run" else f"--{name.replace('_', '-')}"
        assert re.search(rf"{flag}\b", ended.out), flag


# --- resume -----------------------------------------------------------------------------------


def test_resume_of_a_finished_run_says_its_result_again(trained):
    ended, run = trained
    before = everything(run)
    again = in_process("resume", run, "--json")
    assert again.code == 0
    assert again.events == [ended.events[-1]]
    assert "after the final epoch" in in_process("resume", run, "--quiet").out
    assert everything(run) == before


# --- schedule ---------------------------------------------------------------------------------


def test_schedule_json_is_what_training_says(trained, short):
    ended = in_process("schedule", *short(), "--json")
    assert (ended.code, ended.err) == (0, "")
    assert ended.events == trained[0].events[0]["epochs"]


def test_schedule_prints_and_writes_nothing(short, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    ended = in_process("schedule", *short(epochs=60, classes="2:4", labels="0.1:0.9"))
    assert (ended.code, ended.err) == (0, "")
    rows = re.findall(r"^ +(\d+) +(\d) +(\d+) \(\d+%\) +(\d+) .*[█░]", ended.out, re.MULTILINE)
    epochs, classes, known, unlabelled = (
        list(map(int, column)) for column in zip(*rows, strict=True)
    )
    assert (epochs[0], epochs[-1]) == (1, 60)  # counted for people
    assert len(epochs) <= 25
    assert (classes[0], classes[-1]) == (2, 4)
    assert known == sorted(known)
    assert known[-1] + unlabelled[-1] == 80
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("as_json", [False, True])
def test_schedule_draws_a_picture(short, tmp_path, as_json):
    path = tmp_path / "plan.png"
    ended = in_process("schedule", *short(epochs=12), "--picture", path, *["--json"][:as_json])
    assert ended.code == 0, ended.err
    said = ended.err if as_json else ended.out
    assert f"drawn into {path}" in said
    if as_json:
        assert len(ended.events) == 12
    with Image.open(path) as image:
        pixels = np.asarray(image.convert("RGB"))
    assert min(pixels.shape[:2]) > 400
    assert len(np.unique(pixels.reshape(-1, 3), axis=0)) > 10
    assert (pixels != 255).any(axis=2).mean() > 0.05


# --- data -------------------------------------------------------------------------------------


def test_data_info(data):
    ended = in_process("data", "info", data)
    assert (ended.code, ended.err) == (0, "")
    assert (
        "tiny: 100 training images (0 without a label), 40 test images, 32x32 pixels" in ended.out
    )
    for name in "abcd":
        assert re.search(rf"{name}\s+25\s+10", ended.out)


def test_what_is_not_used_is_said(tmp_path):
    """By `data info` and before a run's plan, grouped by reason."""
    for name in ("a", "b"):
        (tmp_path / "d" / name).mkdir(parents=True)
        for i in range(3):
            Image.new("RGB", (8, 8), (i, 0, 0)).save(tmp_path / "d" / name / f"{i}.png")
        (tmp_path / "d" / name / "notes.txt").touch()
        (tmp_path / "d" / name / "Thumbs.db").touch()
    info = in_process("data", "info", tmp_path / "d")
    assert "not used: 2 hidden or left by the system, first a/Thumbs.db" in info.out
    assert "not used: 2 not an image (.txt), first a/notes.txt" in info.out
    plan = in_process("schedule", "--data", tmp_path / "d", "--classes", 2)
    said = "files not used: 4: 2 hidden or left by the system; 2 not an image (.txt)"
    assert said in one_line(plan.err, "not used")
    flags = ("--data", tmp_path / "d", "--epochs", 1, "--width", 8, "--out", tmp_path / "run")
    machine = in_process("train", *flags, "--json")
    assert [group["count"] for group in machine.events[0]["unused"]] == [2, 2]
    for ended in (
        machine,
        in_process("train", *flags, "--quiet", "--overwrite"),
        in_process("predict", tmp_path / "run", tmp_path / "d"),
        in_process("embed", tmp_path / "run", tmp_path / "d", "--out", tmp_path / "e.parquet"),
    ):
        assert ended.code == 0
        assert said in one_line(ended.err, "not used")


def test_a_taken_folder_is_refused_before_the_data_are_read(trained, monkeypatch):
    _, run = trained
    monkeypatch.setattr("lll.data.sources.load_digits", lambda _: pytest.fail("read"))
    ended = in_process("train", "--data", "digits", "--out", run)
    assert ended.code == 2
    one_line(ended.err, "exists already")


def test_data_info_json(data):
    (facts,) = in_process("data", "info", data, "--json").events
    assert facts["train"] == 100
    assert facts["image_shape"] == [32, 32, 3]
    assert facts["classes"][0] == {"name": "a", "train": 25, "test": 10}
    assert facts["skipped"] == []
    (smaller,) = in_process("data", "info", "digits", "--image-size", 16, "--json").events
    assert smaller["image_shape"] == [16, 16, 3]


def test_fetch_of_what_needs_no_download(data):
    ended = in_process("data", "fetch", "digits")
    assert ended.code == 2
    one_line(ended.err, "digits comes with the installation")
    one_line(in_process("data", "fetch", data).err, "is a path")


# --- predict ----------------------------------------------------------------------------------


def rows_of(text):
    return list(csv.DictReader(io.StringIO(text)))


def test_predict_files_and_folders(trained, pictures):
    _, run = trained
    files = sorted(pictures.rglob("*.png"))
    ended = in_process("predict", run, pictures / "0.png", pictures / "more")
    assert ended.code == 0
    one_line(ended.err, "files not used: 1: 1 not an image (.txt)")
    assert ended.out.startswith("path,class,probability,set,unknown,is_unknown\n")
    rows = rows_of(ended.out)
    expected = [pictures / "0.png", *sorted((pictures / "more").glob("*.png"))]
    assert [row["path"] for row in rows] == [str(path) for path in expected]
    everywhere = rows_of(in_process("predict", run, pictures).out)
    assert [row["path"] for row in everywhere] == [str(path) for path in files]

    # PNG loses nothing, so the network must say the same of the pixels themselves.
    images = np.stack([np.asarray(Image.open(path)) for path in files])
    learner = load_learner(load_run(run))
    logits = learner.logits(torch.from_numpy(images).permute(0, 3, 1, 2))
    probabilities, classes = logits.softmax(1).max(1)
    for row, probability, label in zip(everywhere, probabilities, classes, strict=True):
        assert row["class"] == "abcd"[int(label)]
        assert float(row["probability"]) == pytest.approx(float(probability), abs=6e-5)
        assert 0.25 <= float(row["probability"]) <= 1
        assert row["is_unknown"] == ("no", "yes")[float(row["unknown"]) >= 0.95]


def test_predict_into_a_file_and_with_a_named_checkpoint(trained, pictures, tmp_path):
    _, run = trained
    target = tmp_path / "out.csv"
    ended = in_process("predict", run, pictures, "--out", target, "--checkpoint", "epoch-0001")
    early = rows_of(target.read_text())
    assert (ended.code, ended.out) == (0, f"{len(early)} predictions in {target}\n")
    late = rows_of(in_process("predict", run, pictures, "--checkpoint", "latest").out)
    assert [r["path"] for r in early] == [r["path"] for r in late]
    assert [r["probability"] for r in early] != [r["probability"] for r in late]


def test_predict_skips_what_is_no_image_and_strict_refuses_it(trained, pictures, tmp_path):
    _, run = trained
    whole, broken = tmp_path / "whole.png", tmp_path / "broken.png"
    whole.write_bytes((pictures / "0.png").read_bytes())
    broken.write_bytes(whole.read_bytes()[:60])
    ended = in_process("predict", run, tmp_path)
    assert ended.code == 0
    assert [row["path"] for row in rows_of(ended.out)] == [str(whole)]
    one_line(ended.err, "images skipped: 1", str(broken))
    strict = in_process("predict", run, tmp_path, "--strict")
    assert (strict.code, strict.out) == (2, "")
    one_line(strict.err, str(broken), "cannot be read")
    alone = in_process("predict", run, broken)
    assert (alone.code, alone.out) == (2, "")
    one_line(alone.err, "no image can be read", str(broken))


# --- the program itself -----------------------------------------------------------------------


def test_help_is_quick():
    """`python -m lll --help` imports nothing that trains."""
    done = subprocess.run(
        [sys.executable, "-X", "importtime", "-m", "lll", "--help"],
        capture_output=True,
        text=True,
        env=ENVIRONMENT,
    )
    assert done.returncode == 0
    for command in ("train", "resume", "schedule", "predict", "data"):
        assert re.search(rf"\b{command}\b", done.stdout)
    imported = set(re.findall(r"\| +(\w+)$", done.stderr, re.MULTILINE))
    assert "typer" in imported
    heavy = {"torch", "sklearn", "matplotlib", "pyarrow", "scipy", "pooch", "PIL", "safetensors"}
    assert not imported & heavy


def test_a_whole_command_from_the_outside(data, trained, tmp_path):
    """What the others do in this process comes out of a process of its own as well."""
    ended = lll("train", *flags(data, epochs=2), "--out", "run", "--json", cwd=tmp_path)
    assert (ended.code, ended.err) == (0, "")
    assert [e["event"] for e in ended.events] == ["plan", "epoch", "epoch", "result"]
    assert ended.events[-1]["run"] == "run"
    assert (
        Path(tmp_path / "run" / "labels.csv").read_bytes()
        == (trained[1] / "labels.csv").read_bytes()
    )


def test_no_arguments_show_the_help():
    ended = in_process()
    assert "Usage" in ended.out + ended.err
    assert ended.code in (0, 2)
    assert in_process("data").code in (0, 2)
