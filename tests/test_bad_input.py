"""Bad input: one line that names it, exit code 2, and nothing lost."""

import hashlib
import json
import os
import re
import shutil
import signal
import struct
import subprocess
import zipfile
import zlib
from io import BytesIO

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file, save_file
from tests.processes import (
    Harm,
    assert_latest_is_whole,
    content,
    everything,
    flags,
    in_process,
    one_line,
    shared_nursery,
    write_npz,
)

from lll import resume, train


def refused(ended, *parts):
    """The one line of a refusal, which must hold every part."""
    assert ended.code == 2, ended
    assert "Traceback" not in ended.err
    return one_line(ended.err, *map(str, parts))


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    return write_npz(tmp_path_factory.mktemp("data") / "tiny.npz", each=25)


@pytest.fixture(scope="module")
def nursery():
    return shared_nursery()


# --- configuration ----------------------------------------------------------------------------

UNUSABLE = {
    "method": ({"method": "gradaul"}, "unknown method 'gradaul': did you mean 'gradual'?"),
    "rule": (
        {"method": "sandbox", "rule": "meta_distanse"},
        "unknown rule 'meta_distanse': did you mean 'meta_distance'?",
    ),
    "stray rule": ({"rule": "meta_distance"}, "rule 'meta_distance' needs method 'sandbox'"),
    "encoder": ({"encoder": "convnett"}, "unknown encoder 'convnett': did you mean 'convnet'?"),
    "small images": ({"image_size": 16}, "image_size 16 is too small for encoder 'convnet'"),
    "activation": ({"activation": "gelu"}, "activation: .*'relu' or 'leaky_relu'.*'gelu'"),
    "reversed classes": ({"classes": "4:2"}, "classes: 4:2 is reversed"),
    "no class": ({"classes": "0:3"}, "classes: 0 is out of bounds"),
    "half a class": ({"classes": "2.5"}, "classes: 2.5: give whole numbers"),
    "too many classes": ({"classes": "2:99"}, "classes 2:99: the data has 4 classes"),
    "unknown class": ({"class_order": "a,b,c,x"}, "class_order: no class 'x': name a, b, c, d"),
    "reversed labels": ({"labels": "0.9:0.1"}, "labels: 0.9:0.1 is reversed"),
    "too many labels": ({"labels": "0.1:1.5"}, "labels: 1.5 is out of bounds.*between 0 and 1"),
    "negative labels": ({"labels": "-1/class"}, "labels: -1 is out of bounds"),
    "falling labels": ({"labels": "0=0.5,2=0.1"}, "labels: .*falls"),
    "no schedule": ({"labels": "some"}, "labels: 'some' is not a schedule"),
    "NaN": ({"labels": "nan"}, "labels: 'nan' is not a schedule"),
    "schedule rule": ({"labels": "0.1:0.9:linaer"}, "'linaer': did you mean 'linear'?"),
    "negative rate": ({"probe_rate": "-0.1"}, "probe_rate: -0.1 is out of bounds"),
    "no epochs": ({"epochs": "0"}, "epochs: .*given '0'"),
    "too many epochs": (
        {"epochs": "1000000000000"},
        "epochs: .*choose 100000 or less.*given",
    ),
    "many words": ({"epochs": "many"}, "epochs: .*'many'"),
    "temperature": ({"temperature": "0"}, "temperature: choose more than 0"),
    "share": ({"validation_share": "1"}, "validation_share: .*less than 1"),
    "labelled batch": ({"labelled_batch_size": 32}, "labelled_batch_size 32 leaves no room"),
    "device": ({"device": "gpu"}, "device 'gpu' cannot be used"),
    "data name": ({"data": "cifar11"}, "'cifar11' is neither .*did you mean 'cifar10'?"),
    "data path": ({"data": "nowhere/x.npz"}, "nowhere/x.npz does not exist"),
    "no such run": ({"method": "finetune", "from": "nowhere"}, "nowhere: no run folder here"),
}


@pytest.mark.parametrize("case", UNUSABLE)
@pytest.mark.parametrize("command", ["train", "schedule"])
def test_a_setting_that_cannot_be_used(data, tmp_path, monkeypatch, case, command):
    if (command, case) == ("schedule", "no such run"):
        pytest.skip("a plan needs no encoder")
    given, message = UNUSABLE[case]
    monkeypatch.chdir(tmp_path)
    line = refused(in_process(command, *flags(data, **given)))
    assert re.search(re.sub(r"\?$", r"\\?", message), line), line
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("toml", "parts"),
    [
        ("epoch = 3", ("unknown key 'epoch'", "did you mean 'epochs'?")),
        ("lables = 0.5", ("unknown key 'lables'", "did you mean 'labels'?")),
        ("epochs = ", ("c.toml", "not readable as TOML")),
        ("epochs = 'x'", ("epochs:", "'x'")),
        ("classes = [[0, 4], [1]]", ("classes:",)),
    ],
)
def test_a_configuration_file_that_cannot_be_used(data, tmp_path, toml, parts):
    (tmp_path / "c.toml").write_text(toml + "\n")
    refused(
        in_process("train", tmp_path / "c.toml", "--data", data, "--out", tmp_path / "r"), *parts
    )
    assert not (tmp_path / "r").exists()


def test_files_that_are_not_there(data, tmp_path):
    refused(in_process("train", tmp_path / "no.toml", "--data", data), "no.toml: no such")
    refused(in_process("resume", tmp_path / "no"), tmp_path / "no", "no run folder")
    refused(in_process("predict", tmp_path / "no", data), tmp_path / "no", "no run folder")
    refused(in_process("data", "info", tmp_path / "no"), tmp_path / "no", "does not exist")
    refused(in_process("train"), "data is missing")


def test_flags_and_commands_that_do_not_exist(data):
    refused(in_process("train", "--lables", "0.5"), "--lables", "--labels")
    refused(in_process("trian"), "trian")
    refused(in_process("train", "--epochs"), "--epochs")


# --- data -------------------------------------------------------------------------------------


def png(value=0):
    out = BytesIO()
    noise = np.random.default_rng(value).integers(0, 256, (32, 32, 3), dtype=np.uint8)
    Image.fromarray(noise).save(out, "PNG")
    return out.getvalue()


def enormous():
    """A PNG of 10 gigapixels, by its header; the file itself is small."""

    def chunk(kind, body):
        checked = kind + body
        return struct.pack(">I", len(body)) + checked + struct.pack(">I", zlib.crc32(checked))

    header = struct.pack(">IIBBBBB", 100_000, 100_000, 8, 2, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", b"x") + chunk(b"IEND", b"")
    )


BROKEN = {
    "empty.png": (b"", "empty file"),
    "words.png": (b"this is no image", "not an image"),
    "truncated.png": (png()[:-300], "damaged image"),
    "enormous.png": (enormous(), "more than"),
}


@pytest.fixture
def folder(tmp_path):
    """Two classes of twelve images each."""
    for label in ("cat", "dog"):
        (tmp_path / "pets" / label).mkdir(parents=True)
        for i in range(12):
            (tmp_path / "pets" / label / f"{i}.png").write_bytes(png(i))
    return tmp_path / "pets"


def train_on(source, out, *more):
    short = flags(source, classes="2", labels="0.5", epochs=1)
    return in_process("train", *short, "--out", out, "--quiet", *more)


def test_images_that_cannot_be_read_are_skipped_and_listed(folder, tmp_path):
    for name, (broken, _) in BROKEN.items():
        (folder / "cat" / name).write_bytes(broken)
    ended = in_process("data", "info", folder)
    assert (ended.code, ended.err) == (0, "")
    (facts,) = in_process("data", "info", folder, "--json").events
    assert facts["train"] + facts["test"] == 24
    assert {s["path"] for s in facts["skipped"]} == {f"cat/{name}" for name in BROKEN}
    for skip in facts["skipped"]:
        assert BROKEN[skip["path"].removeprefix("cat/")][1] in skip["reason"]
        assert re.search(
            rf"skipped {re.escape(skip['path'])}:\s+{re.escape(skip['reason'])}", ended.out
        )
    assert train_on(folder, tmp_path / "run").code == 0


@pytest.mark.parametrize("name", BROKEN)
def test_strict_refuses_an_image_that_cannot_be_read(folder, tmp_path, name):
    broken, reason = BROKEN[name]
    (folder / "dog" / name).write_bytes(broken)
    refused(in_process("data", "info", folder, "--strict"), f"dog/{name} cannot be read", reason)
    refused(train_on(folder, tmp_path / "run", "--strict"), f"dog/{name} cannot be read")
    assert not (tmp_path / "run").exists()


def refused_data(source, tmp_path, *parts):
    """Both commands that read data refuse ``source`` with the same line, and leave it alone."""
    before = everything(source.parent)
    line = refused(in_process("data", "info", source), *parts)
    assert refused(train_on(source, tmp_path / "run")) == line
    assert everything(source.parent) == before
    assert not (tmp_path / "run").exists()


def test_a_class_with_no_image(folder, tmp_path):
    (folder / "cow").mkdir()
    refused_data(folder, tmp_path, "pets/cow is a class with no image")


def test_a_class_with_no_readable_image(folder, tmp_path):
    (folder / "cow").mkdir()
    (folder / "cow" / "1.png").write_bytes(b"no image")
    refused_data(folder, tmp_path, "class 'cow' has no readable image", "cow/1.png")


def test_a_class_with_no_labelled_training_image(tmp_path):
    images = np.zeros((8, 32, 32, 3), np.uint8)
    np.savez(
        tmp_path / "d.npz", images=images, labels=np.arange(8) % 2, class_names=["a", "b", "c"]
    )
    ended = train_on(tmp_path / "d.npz", tmp_path / "run")
    assert ended.code == 0  # a class may wait for its first label


@pytest.mark.parametrize(
    ("rows", "parts"),
    [
        ("cat/1.png,cat\ncat/99.png,cat", ("names 'cat/99.png'", "not an image file")),
        ("cat/1.png,cat\ncat/1.png,dog", ("cat/1.png has two labels, 'cat' and 'dog'",)),
        ("../pets/cat/1.png,cat", ("line 2", "'../pets/cat/1.png'")),
    ],
)
def test_a_table_that_does_not_fit_its_images(folder, tmp_path, rows, parts):
    (folder / "labels.csv").write_text(f"file,label\n{rows}\n")
    refused_data(folder, tmp_path, "labels.csv", *parts)


@pytest.mark.parametrize(
    ("member", "parts"),
    [
        ("/etc/cat/9.png", ("'/etc/cat/9.png'", "points outside the archive")),
        ("../cat/9.png", ("'../cat/9.png'", "points outside the archive")),
        ("cat/../../9.png", ("'cat/../../9.png'", "points outside the archive")),
    ],
)
def test_a_zip_with_members_that_are_not_plain_files(tmp_path, member, parts):
    (tmp_path / "in").mkdir()
    path = tmp_path / "in" / "pets.zip"
    with zipfile.ZipFile(path, "w") as out:
        for label in ("cat", "dog"):
            for i in range(4):
                out.writestr(f"{label}/{i}.png", png(i))
        out.writestr(member, "/etc/passwd")
    refused_data(path, tmp_path, path, *parts)


# --- checkpoints ------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def runs(nursery, data, tmp_path_factory):
    """``stopped``, a run stopped in its third epoch, and ``whole``, the same never stopped.

    Both by processes that have done nothing else: in this one, other tests may have loaded
    libraries that add up in another order.
    """
    folder = tmp_path_factory.mktemp("runs")
    stop = Harm(step=4, signal=signal.SIGTERM)
    assert nursery.run("train", *flags(data), "--out", folder / "stopped", harm=stop).code == 143
    assert assert_latest_is_whole(folder / "stopped") == LATEST
    assert nursery.run("train", *flags(data), "--out", folder / "whole").code == 0
    return folder


@pytest.fixture
def run(runs, tmp_path):
    """A copy of the stopped run, which a test may damage."""
    return shutil.copytree(runs / "stopped", tmp_path / "run")


LATEST = "epoch-0002-step-0001"


def flip(path):
    damaged = bytearray(path.read_bytes())
    damaged[len(damaged) // 2] ^= 1
    path.write_bytes(damaged)


DAMAGE = {
    "a bit of the weights": lambda home: flip(home / "weights.safetensors"),
    "a bit of the state": lambda home: flip(home / "state.pt"),
    "a bit of the checksums": lambda home: flip(home / "checksums.json"),
    "half the weights": lambda home: os.truncate(home / "weights.safetensors", 5000),
    "half the state": lambda home: os.truncate(home / "state.pt", 5000),
    "no weights": lambda home: (home / "weights.safetensors").unlink(),
    "no state": lambda home: (home / "state.pt").unlink(),
    "no checksums": lambda home: (home / "checksums.json").unlink(),
    "other checksums": lambda home: (home / "checksums.json").write_text("[]"),
    "a folder for a file": lambda home: ((home / "state.pt").unlink(), (home / "state.pt").mkdir()),
    "no checkpoint": shutil.rmtree,
    "noise for a name": lambda home: (home.parent / "latest").write_bytes(b"\xff\xfe\n"),
}


@pytest.mark.parametrize("damage", DAMAGE)
def test_a_corrupt_checkpoint_is_refused_and_an_earlier_one_named(run, tmp_path, damage):
    DAMAGE[damage](run / "checkpoints" / LATEST)
    before = everything(run)
    line = refused(in_process("resume", run), f"{run}/checkpoints/", "corrupt checkpoint")
    (tmp_path / "1.png").write_bytes(png())
    predict = ("predict", run, tmp_path / "1.png", "--checkpoint", "latest")
    refused(in_process(*predict), f"{run}/checkpoints/")
    assert everything(run) == before
    earlier = re.search(r"`--checkpoint (\S+)`", line).group(1)
    assert earlier == (LATEST if "name" in damage else "epoch-0002")


def test_the_earlier_checkpoint_leads_to_the_same_end(nursery, runs, run):
    flip(run / "checkpoints" / LATEST / "state.pt")
    assert nursery.run("resume", run, "--checkpoint", "epoch-0002").code == 0
    assert content(run) == content(runs / "whole")


def test_a_checkpoint_that_does_not_exist(run):
    before = everything(run)
    refused(in_process("resume", run, "--checkpoint", "epoch-0099"), "epoch-0099")
    assert everything(run) == before


class Evil:
    """What a pickle can do when it is loaded: here, make a folder."""

    def __init__(self, folder):
        self.folder = folder

    def __reduce__(self):
        return os.mkdir, (str(self.folder),)


def replace_state(home, value):
    """``value`` for the state of a checkpoint, with the right checksum."""
    torch.save(value, home / "state.pt")
    sum_up(home)


def replace_weights(home, change):
    """Every tensor of a checkpoint as ``change`` makes it of name and tensor."""
    path = home / "weights.safetensors"
    save_file({name: change(name, value) for name, value in load_file(path).items()}, path)
    sum_up(home)


def sum_up(home):
    sums = {
        name: hashlib.sha256((home / name).read_bytes()).hexdigest()
        for name in ("weights.safetensors", "state.pt")
    }
    (home / "checksums.json").write_text(json.dumps(sums))


def test_a_checkpoint_runs_no_code(run, tmp_path):
    home, made = run / "checkpoints" / LATEST, tmp_path / "made"
    good = torch.load(home / "state.pt", weights_only=True)
    replace_state(home, good | {"trace": Evil(made)})
    (tmp_path / "1.png").write_bytes(png())
    predict = ("predict", run, tmp_path / "1.png", "--checkpoint", "latest")
    for command in (("resume", run), predict):
        refused(in_process(*command), home / "state.pt", "more than plain values")
    assert not made.exists()
    torch.load(home / "state.pt", weights_only=False)
    assert made.is_dir()  # it would have


@pytest.mark.parametrize("value", [[], 3, {}, {"position": 1}, torch.zeros(3)])
def test_a_checkpoint_of_something_else(run, value):
    replace_state(run / "checkpoints" / LATEST, value)
    refused(in_process("resume", run), LATEST, "corrupt checkpoint")


@pytest.fixture
def predict(run, tmp_path):
    (tmp_path / "1.png").write_bytes(png())
    return ("predict", run, tmp_path / "1.png", "--checkpoint", "latest")


def test_weights_that_are_no_numbers(run, predict):
    """One NaN among them; it would have said class 0, with exit code 0."""

    def one_nan(name, value):
        return value.index_fill(0, torch.tensor([1]), torch.nan) if name == "probe.bias" else value

    home = run / "checkpoints" / LATEST
    replace_weights(home, one_nan)
    for command in (predict, ("resume", run)):
        refused(in_process(*command), home, "probe.bias holds NaN", "`--checkpoint epoch-0002`")
    assert in_process(*predict[:-1], "epoch-0002").code == 0


def test_weights_that_give_no_numbers(run, predict):
    replace_weights(run / "checkpoints" / LATEST, lambda name, value: value * 1e30)
    refused(in_process(*predict), run, "probabilities: 1 of 1 hold NaN or infinity", "checkpoint")


def test_weights_of_another_network(run, predict):
    path = run / "config.toml"
    text = path.read_text()
    for line, said in (
        ('activation = "relu"', "activation is 'relu', but the checkpoint was made with 'leaky_"),
        ('data = "elsewhere"', None),
    ):
        name = line.split(" ")[0]
        kept = [x for x in text.splitlines() if not x.startswith(f"{name} ")]
        path.write_text("\n".join([*kept, line]) + "\n")
        ended = in_process(*predict)
        assert ended.code == 0 if said is None else refused(ended, path, said)


@pytest.mark.parametrize(
    ("line", "parts"),
    [
        ("batch_size = 16", ("batch_size is 16", "was made with 32")),
        ('labels = "0.4:0.8"', ("labels is '0.4:0.8'", "'0.3:0.8:linear'")),
        ("seed = 2", ("seed is 2", "was made with 1")),
        ("labelled_batch_size = 4", ("labelled_batch_size is 4", "was made with None")),
        ("bach_size = 16", ("unknown key 'bach_size'", "did you mean 'batch_size'?")),
    ],
)
def test_a_checkpoint_of_another_configuration(run, line, parts):
    path = run / "config.toml"
    kept = [x for x in path.read_text().splitlines() if not x.startswith(line.split(" ")[0] + " ")]
    path.write_text("\n".join([*kept, line]) + "\n")
    before = everything(run)
    refused(in_process("resume", run), path, *parts)
    assert everything(run) == before


def test_data_that_changed_since(data, run, tmp_path):
    changed = write_npz(tmp_path / "tiny.npz", each=25, seed=1)
    original = data.read_bytes()
    try:
        shutil.copyfile(changed, data)
        before = everything(run)
        refused(in_process("resume", run), data, run, "have changed")
        data.unlink()
        refused(in_process("resume", run), data, "does not exist")
        assert everything(run) == before
    finally:
        data.write_bytes(original)


@pytest.mark.parametrize("name", ["config.toml", "data.json", "metrics.jsonl", "labels.csv"])
def test_a_run_folder_that_lacks_a_file(run, name):
    (run / name).unlink()
    before = everything(run)
    refused(in_process("resume", run), run, name)
    assert everything(run) == before


def test_a_run_that_lost_its_checkpoints_is_not_begun_again_by_mistake(run):
    """Without any checkpoint, going on would throw the epochs on record away."""
    shutil.rmtree(run / "checkpoints")
    before = everything(run)
    refused(in_process("resume", run), run, "no checkpoint")
    assert everything(run) == before


def test_a_chosen_checkpoint_that_is_not_there_is_not_the_beginning(run):
    (run / "checkpoints" / "chosen").unlink()
    before = everything(run)
    refused(in_process("resume", run, "--checkpoint", "chosen"), run)
    assert everything(run) == before


# --- disks and folders ------------------------------------------------------------------------


def test_a_full_disk_at_any_file(nursery, runs, run):
    """A limit on file sizes answers as a full disk does, in the middle of a write."""
    home = run / "checkpoints" / LATEST
    files = [run / "labels.csv", run / "metrics.jsonl", *home.iterdir()]
    sizes = sorted({file.stat().st_size for file in files})
    for limit in (1, *(size + more for size in sizes[:-1] for more in (0, 9))):
        ended = nursery.run("resume", run, harm=Harm(file_bytes=limit))
        refused(ended, run, "the disk is full", "lll resume")
        assert_latest_is_whole(run)
        assert not list((run / "checkpoints").glob(".*"))
    assert nursery.run("resume", run).code == 0
    assert content(run) == content(runs / "whole")


def test_a_disk_that_is_full_from_the_start(nursery, data, tmp_path):
    run = tmp_path / "run"
    command = ("train", *flags(data), "--out", run)
    refused(nursery.run(*command, harm=Harm(file_bytes=20)), run, "the disk is full")
    assert nursery.run(*command).code == 0


@pytest.fixture
def small_disk(tmp_path):
    """A file system of one megabyte, where this user may mount one."""
    disk = tmp_path / "disk"
    disk.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(disk)]
    try:
        mounted = subprocess.run(command, capture_output=True).returncode == 0
    except OSError:
        mounted = False
    if not mounted:
        pytest.skip("needs the right to mount")
    try:
        yield disk
    finally:
        subprocess.run(["umount", str(disk)], check=True)


def test_a_disk_that_fills_up(nursery, data, runs, small_disk):
    run = small_disk / "run"
    home = runs / "stopped" / "checkpoints" / LATEST
    checkpoint = sum(file.stat().st_size for file in home.iterdir())
    filler = small_disk / "filler"
    filler.write_bytes(b"x" * (2**20 - int(2.7 * checkpoint) - 2**15))
    ended = nursery.run("train", *flags(data), "--out", run)
    refused(ended, run, "the disk is full (No space left on device)")
    position = assert_latest_is_whole(run)
    assert position in ("epoch-0000", "epoch-0001", "epoch-0002")
    refused(nursery.run("resume", run), run, "the disk is full")
    assert assert_latest_is_whole(run) >= position
    filler.unlink()
    assert nursery.run("resume", run).code == 0
    assert content(run) == content(runs / "whole")


def test_an_existing_run_is_never_overwritten_unasked(data, run):
    before = everything(run)
    again = ("train", *flags(data, epochs=1), "--out", run, "--quiet")
    refused(in_process(*again), run, "exists already", "--overwrite", f"lll resume {run}")
    assert everything(run) == before
    assert in_process(*again, "--overwrite").code == 0
    assert len((run / "metrics.jsonl").read_text().splitlines()) == 1
    assert assert_latest_is_whole(run) == "epoch-0001"
    assert not (run / "checkpoints" / LATEST).exists()


def test_a_run_is_not_overwritten_by_one_that_cannot_begin(data, run):
    before = everything(run)
    command = ("train", "--out", run, "--overwrite")
    refused(in_process(*command, *flags(data, classes="2:99")), "the data has 4 classes")
    refused(in_process(*command, *flags(data, encoder="x")), "unknown encoder")
    refused(in_process(*command, *flags(run / "no.npz")), "does not exist")
    assert everything(run) == before


@pytest.mark.parametrize("more", [[], ["--overwrite"]])
def test_what_is_no_run_is_left_alone(data, tmp_path, more):
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.txt").write_text("years of work")
    (tmp_path / "file").write_text("a file")
    before = everything(tmp_path)
    for out in ("mine", "file", "file/below"):
        command = ("train", *flags(data, epochs=1), "--out", tmp_path / out)
        refused(in_process(*command, *more), tmp_path / out)
    assert everything(tmp_path) == before


def test_an_empty_folder_may_be_given(data, tmp_path):
    (tmp_path / "run").mkdir()
    assert in_process("train", *flags(data, epochs=1), "--out", tmp_path / "run").code == 0


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_folder_that_may_not_be_written(data, tmp_path):
    tmp_path.chmod(0o555)
    try:
        ended = in_process("train", *flags(data, epochs=1), "--out", tmp_path / "run")
        refused(ended, tmp_path / "run", "cannot be written (Permission denied)")
    finally:
        tmp_path.chmod(0o755)


@pytest.mark.parametrize("name", ["plan.xyz", "nowhere/plan.png", "."])
def test_a_picture_that_cannot_be_drawn(data, tmp_path, name):
    command = ("schedule", *flags(data, epochs=12), "--picture", tmp_path / name)
    refused(in_process(*command), tmp_path / name)


def test_a_table_that_cannot_be_written(run, folder, tmp_path):
    refused(
        in_process("predict", run, folder, "--out", tmp_path), tmp_path, "is a folder: name a file"
    )
    refused(in_process("predict", run, folder / "cat" / "99.png"), "99.png: no such image")


# --- losses -----------------------------------------------------------------------------------


@pytest.mark.parametrize(("rate", "epoch"), [("1e38", 0), ("0=0.003,2=1e38", 2)])
def test_a_loss_that_becomes_nan_stops_the_run(data, tmp_path, rate, epoch):
    run = tmp_path / "run"
    ended = in_process("train", *flags(data, contrastive_rate=rate), "--out", run, "--json")
    line = refused(ended, run, f"epoch {epoch}")
    assert re.search(r"step '(contrast|classify)' became (nan|inf)|weights \S+ became NaN", line), (
        line
    )
    assert assert_latest_is_whole(run) == f"epoch-{epoch:04d}"
    assert len((run / "metrics.jsonl").read_text().splitlines()) == epoch
    before = {name: (run / name).read_bytes() for name in ("metrics.jsonl", "labels.csv")}
    # Going on from there comes to the same end.
    assert refused(in_process("resume", run)) == line
    assert {name: (run / name).read_bytes() for name in before} == before


class Poisoned(torch.nn.Module):
    """Mean colours through one layer; NaN from forward number ``at`` of training on."""

    def __init__(self, at):
        super().__init__()
        self.dense, self.calls, self.at = torch.nn.Linear(3, 8), 0, at

    def forward(self, images):
        self.calls += self.training
        return self.dense(images.mean((2, 3))) * (float("nan") if self.calls > self.at else 1)


def test_an_encoder_that_turns_bad_can_be_mended(data, runs, tmp_path):
    from lll import UserError

    config = resume(shutil.copytree(runs / "whole", tmp_path / "copy")).config
    torch.manual_seed(0)
    nan = r"step 'contrast' became nan at its update \d+ of epoch 2"
    with pytest.raises(UserError, match=nan):
        train(config, tmp_path / "run", encoder=Poisoned(at=10))
    assert assert_latest_is_whole(tmp_path / "run") == "epoch-0002"
    assert resume(tmp_path / "run", encoder=Poisoned(at=10**9)).finished
