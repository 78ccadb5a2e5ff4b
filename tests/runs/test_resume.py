"""Runs killed at any moment and resumed end as if they had never been stopped, to the bit."""

import random
import re
import shutil
import signal
import time

import pytest
from tests.processes import (
    Harm,
    assert_latest_is_whole,
    content,
    everything,
    flags,
    lll,
    one_line,
    shared_nursery,
    write_npz,
)

from lll.runs.lock import LOCK

METHODS = {
    "gradual": {"seed": 13},  # its best epoch is neither the first nor the last
    "per_class": {"method": "sandbox", "rule": "reclassify_per_class", "seed": 2},
    "finetune": {"method": "finetune", "seed": 0},  # its second stage begins at epoch 2
}
LAST = "epoch-0004"


@pytest.fixture(scope="module")
def nursery():
    return shared_nursery()


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    return write_npz(tmp_path_factory.mktemp("data") / "tiny.npz", each=25)


class Reference:
    """A run that was never stopped: its flags, its content, its file events, its duration."""

    def __init__(self, nursery, data, folder, given):
        self.flags, self.run = flags(data, **given), folder / "run"
        log = folder / "events"
        started = time.monotonic()
        harm = Harm(str(self.run), log=str(log))
        ended = nursery.run("train", *self.flags, "--out", self.run, harm=harm)
        assert ended.code == 0, ended.err
        self.seconds = time.monotonic() - started
        self.content = content(self.run)
        self.events = log.read_text().splitlines()


@pytest.fixture(scope="module")
def references(nursery, data, tmp_path_factory):
    made = {}

    def of(name):
        if name not in made:
            made[name] = Reference(nursery, data, tmp_path_factory.mktemp(name), METHODS[name])
        return made[name]

    return of


class Life:
    """One run folder through kills and resumes, checked after each."""

    def __init__(self, nursery, reference, run):
        self.nursery, self.reference, self.run = nursery, reference, run
        self.deaths, self.seen = 0, [""]

    def begin(self, harm=None):
        """Start or go on, as a user would: `resume`, or `train` anew if there is no run yet."""
        if (self.run / "config.toml").is_file():
            return self.nursery.start("resume", self.run, harm=harm)
        if self.run.exists():
            refused = self.nursery.run("resume", self.run)
            assert refused.code == 2
            one_line(refused.err, str(self.run), "no run folder")
        return self.nursery.start("train", *self.reference.flags, "--out", self.run, harm=harm)

    def end(self, child):
        ended = child.wait()
        assert ended.code in (0, -9), ended.err
        self.deaths += ended.code == -9
        if (self.run / "config.toml").is_file():
            self.seen.append(assert_latest_is_whole(self.run) or "")
            assert self.seen == sorted(self.seen), "`latest` went backwards"
        return ended

    def die(self, pattern, number=0, torn=False):
        """Go on, to a death just before the ``number``-th file event with ``pattern``."""
        harm = Harm(str(self.run), at=number, match=pattern, torn=torn)
        assert self.end(self.begin(harm)).code == -9, f"{pattern} did not happen"

    def finish(self):
        """Go on to the end, and compare."""
        assert self.end(self.begin()).code == 0
        assert content(self.run) == self.reference.content
        assert (self.run / "README.md").is_file()
        assert not list(self.run.rglob("*.tmp"))


@pytest.fixture
def life(nursery, references, tmp_path):
    return lambda method, name="run": Life(nursery, references(method), tmp_path / name)


@pytest.mark.parametrize(("method", "kills"), [("gradual", 4), ("per_class", 3), ("finetune", 3)])
def test_ten_kills_at_random_moments(life, method, kills):
    lives, rng = [life(method, "0")], random.Random(f"{method} {kills}")
    while sum(one.deaths for one in lives) < kills:
        if lives[-1].seen[-1] == LAST:  # it outran its killer
            lives.append(life(method, str(len(lives))))
        child = lives[-1].begin()
        time.sleep(rng.uniform(0.02, lives[-1].reference.seconds))
        child.kill()
        lives[-1].end(child)
    for one in lives:
        one.finish()


FIRST = "epoch-0000"
# Where one run dies, one death after another: the event that does not happen any more.
DEATHS = {
    "inside checkpoints": (
        "gradual",
        (
            f"rename checkpoints/{FIRST}$",  # there is a run, but no checkpoint yet
            r"open .*\.epoch-0001\.tmp/\.weights",  # an empty temporary folder
            r"open .*\.epoch-0001\.tmp/\.state",  # one file of three
            r"open .*\.epoch-0002\.tmp/\.checksums",  # all but the checksums
            r"rename checkpoints/epoch-0002$",  # all of it, under the temporary name
            f"rename checkpoints/{LAST}$",
        ),
    ),
    "between checkpoint, `chosen` and `latest`": (
        "per_class",
        (
            r"open checkpoints/\.chosen",  # a checkpoint that nothing names
            r"open checkpoints/\.latest",  # `chosen` is ahead of `latest`
            r"rename checkpoints/latest",
            r"remove state\.pt",  # an old checkpoint is half removed
            f"open .*{LAST}\\.tmp/\\.weights",  # every epoch is on record, the last not saved
            r"rename checkpoints/latest",
            r"rename README",  # the last file but the checkpoint that makes the run a finished one
        ),
    ),
    "in the record of an epoch": (
        "finetune",
        (
            r"open labels",
            r"open timings",  # labels and no metrics
            r"open metrics",
            r"mkdir .*\.epoch-0001\.tmp",  # metrics and no checkpoint
            r"mkdir .*\.epoch-0003\.tmp",  # the first checkpoint of the second stage
            r"rename metrics",  # while the record is cut back to the checkpoint
            r"rename labels",
        ),
    ),
}


@pytest.mark.parametrize("place", DEATHS)
def test_killed_between_two_files(life, place):
    method, deaths = DEATHS[place]
    one = life(method)
    for pattern in deaths:
        one.die(pattern)
    one.finish()


@pytest.mark.parametrize(
    ("method", "files"),
    [
        ("gradual", ("chosen", "weights.safetensors", "state.pt", "checksums.json", "latest")),
        ("per_class", ("metrics.jsonl", "timings.jsonl", "labels.csv")),
    ],
)
def test_killed_in_the_middle_of_writing(life, method, files):
    one = life(method)
    for file in files:
        # An appended file is flushed once under its own name; others under a temporary one.
        one.die(f"flush (.*[./])?{re.escape(file)}", number=1 if "." in file else 0, torn=True)
    one.finish()


@pytest.mark.parametrize("step", [4, 5])
def test_killed_around_the_stages_of_finetune(life, step):
    """Before step 4 the new probe and optimizers are there, and none of it is saved."""
    one = life("finetune")
    one.end(one.begin(Harm(step=step)))
    assert (one.deaths, one.seen[-1]) == (1, "epoch-0002")
    one.finish()


def test_killed_before_the_run_folder_is_whole(life):
    """Wherever its beginning ends, `resume` says that there is no run and `train` begins anew."""
    one = life("gradual")
    events = one.reference.events
    count = events.index("rename config.toml") + 1
    assert count > 15
    for number in [*sorted(random.Random(0).sample(range(count), 3)), count - 1]:
        one.die("", number)
        assert not (one.run / "config.toml").exists()
    one.end(one.begin(Harm(step=0)))  # refused to resume, trained anew, killed again
    assert one.seen[-1] == FIRST
    one.finish()


def test_a_folder_of_the_users_is_not_taken_for_a_run_that_was_begun(life):
    one = life("gradual")
    (one.run / "checkpoints").mkdir(parents=True)
    (one.run / "data.json").write_text("{}")
    before = everything(one.run)
    for more in ([], ["--overwrite"]):
        ended = one.nursery.run("train", *one.reference.flags, "--out", one.run, *more)
        assert ended.code == 2
        one_line(ended.err, str(one.run))
    assert everything(one.run) == before


def test_killed_while_an_earlier_run_is_overwritten(life):
    """Whatever is left of the earlier run, --overwrite can be given again."""
    one = life("gradual")
    shutil.copytree(one.reference.run, one.run)
    again = ("train", *one.reference.flags, "--out", one.run, "--overwrite")
    for number in (0, 4, 9):
        harm = Harm(str(one.run), at=number, match="^(rmtree|rmdir|remove) ")
        assert one.nursery.run(*again, harm=harm).code == -9
    assert one.nursery.run(*again).code == 0
    assert content(one.run) == one.reference.content


@pytest.mark.parametrize(
    ("pattern", "begun"),
    [
        (r"mkdir .*\.tmp", False),
        (r"flush .*checksums", False),
        ("rename metrics", True),
        ("open metrics", True),
        ("rmtree checkpoints/epoch", True),
        ("remove state", True),
    ],
)
def test_killed_while_going_back_behind_the_chosen_checkpoint(life, pattern, begun):
    """Until the new checkpoint is whole the run is as it was; then it is back, and nothing else."""
    one = life("gradual")
    chosen = int(one.reference.content["chosen"].strip()[-1])
    assert 1 < chosen < 4, "choose a seed whose best epoch is neither the first nor the last"
    one.die(rf"mkdir .*epoch-000{chosen + 1}\.tmp")
    before = everything(one.run) | {LOCK: None}
    back = ("resume", one.run, "--checkpoint", f"epoch-000{chosen - 1}")
    harm = Harm(str(one.run), at=0, match=pattern)
    assert one.nursery.run(*back, harm=harm).code == -9
    assert assert_latest_is_whole(one.run) == f"epoch-000{chosen - 1 if begun else chosen}"
    if not begun:
        after = everything(one.run) | {LOCK: None}
        assert {path: after.get(path, "gone") for path in before} == before
    one.seen.clear()  # it did go backwards
    one.finish()


@pytest.mark.parametrize("checkpoint", ["epoch-0003", "chosen"])
def test_going_back_ends_the_same(life, checkpoint):
    one = life("gradual")
    shutil.copytree(one.reference.run, one.run)
    ended = one.nursery.run("resume", one.run, "--checkpoint", checkpoint, "--json")
    assert ended.code == 0, ended.err
    assert [e["event"] for e in ended.events][:2] == ["plan", "epoch"]  # it did train again
    assert content(one.run) == one.reference.content


def test_one_command_until_it_is_done(nursery, references, tmp_path):
    """With --resume-if-exists a job is begun again with the line that began it."""
    reference, run = references("finetune"), tmp_path / "run"
    command = ["train", *reference.flags, "--out", run, "--resume-if-exists"]
    # No checkpoint yet: nothing is lost, and it begins anew.
    harm = Harm(str(run), at=0, match=f"rename checkpoints/{FIRST}$")
    assert nursery.run(*command, harm=harm).code == -9
    assert nursery.run(*command, harm=Harm(step=5, signal=signal.SIGUSR1)).code == 138
    position = assert_latest_is_whole(run)
    assert position > FIRST
    ended = nursery.run(*command)
    assert ended.code == 0
    assert "resumed" in ended.out
    assert content(run) == reference.content
    before = everything(run)
    ended = nursery.run(*command)
    assert ended.code == 0
    assert "test accuracy" in ended.out
    assert "epoch" not in ended.out.split("test accuracy")[0]
    for wrong, parts in (
        (["--epochs", 9], ("another epochs", "4", "9", "choose another folder")),
        (["--overwrite"], ("--resume-if-exists or --overwrite",)),
    ):
        ended = nursery.run(*command, *wrong)
        assert ended.code == 2
        one_line(ended.err, *parts)
    assert everything(run) == before


def test_a_whole_command_is_killed_and_resumed(life):
    """The same with a process that was not forked: a nursery's child must not be special."""
    one = life("gradual")
    program = (
        "import os, signal, sys; from lll import cli; from lll.runs import checkpoint as c;"
        "c.sync_folder = lambda f: os.kill(os.getpid(), signal.SIGKILL)"
        " if (f / 'epoch-0002').exists() else None;"
        "sys.argv[0] = 'lll'; cli.main()"
    )
    killed = lll("train", *one.reference.flags, "--out", one.run, program=program)
    assert killed.code == -9
    assert assert_latest_is_whole(one.run) == "epoch-0001"
    one.finish()


@pytest.mark.slow
@pytest.mark.parametrize("part", range(4))
def test_killed_at_every_single_file_event(life, references, part):
    """Every opening, flush, rename and removal of a whole run, each the last of some process."""
    events = references("gradual").events
    for number in range(part, len(events), 4):
        for torn in (False, True)[: 1 + events[number].startswith("flush")]:
            one = life("gradual", f"{number}{torn}")
            one.die("", number, torn)
            one.finish()
            shutil.rmtree(one.run)
