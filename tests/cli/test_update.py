"""``lll update`` as a process: what it says, and that a kill at any moment loses nothing."""

import shutil

import numpy as np
import pytest
from tests.processes import Harm, content, flags, one_line, shared_nursery
from tests.tiny import tiny_data

from lll import load_run

FIRST = 60  # of the images that come in the end


@pytest.fixture(scope="module")
def nursery():
    return shared_nursery()


def write(path, count):
    """The first ``count`` training images of `tiny_data`, in another order: few of class d."""
    data = tiny_data()
    order = np.argsort(np.arange(120) % 40, kind="stable")
    order = np.concatenate([order[data.train.labels[order] < 3], np.arange(90, 120)])[:count]
    names = ["a", "b", "c", "d"] if count > 90 else ["a", "b", "c"]
    labels = np.where(np.arange(len(order)) % 5 == 4, -1, data.train.labels[order])
    test = data.test.labels < len(names)
    np.savez(
        path,
        images=data.train.images[order],
        labels=labels,
        images_test=data.test.images[test],
        labels_test=data.test.labels[test],
        class_names=np.array(names),
    )


@pytest.fixture(scope="module")
def grown(nursery, tmp_path_factory):
    """A run, data that have grown since, and the run as an update leaves it."""
    home = tmp_path_factory.mktemp("update")
    write(home / "data.npz", FIRST)
    how = flags(home / "data.npz", classes="all", labels=1, epochs=2)
    assert nursery.run("train", *how, "--out", home / "run").code == 0
    before = load_run(home / "run")
    write(home / "data.npz", 120)
    shutil.copytree(home / "run", home / "whole")
    log = Harm(str(home / "whole"), log=str(home / "log"))
    ended = nursery.run("update", home / "whole", harm=log)
    assert ended.code == 0, ended.err
    return home, before, ended, len((home / "log").read_text().splitlines())


def test_it_says_what_is_new_and_what_that_is_worth(nursery, grown):
    home, before, ended, _ = grown
    assert "70 new photos, 58 new labels, 1 new class 'd'" in ended.out
    after = load_run(home / "whole")
    assert after.cycles == (2, 2) and after.data.class_names == ("a", "b", "c", "d")
    was, now = (one.metrics[-1]["test_accuracy"] for one in (before, after))
    assert f"test accuracy {100 * was:.1f}% before, {100 * now:.1f}% now" in ended.out
    again = nursery.run("update", home / "whole", "--json")
    assert again.code == 0 and [event["event"] for event in again.events] == ["news"]
    assert "nothing new" in nursery.run("update", home / "whole").out
    one_line(nursery.run("update", home).err, "no run folder here")


@pytest.mark.parametrize("kills", [2, pytest.param(9, marks=pytest.mark.slow)])
def test_a_kill_at_any_moment_loses_nothing(nursery, grown, tmp_path, kills):
    home, _, _, moments = grown
    assert moments > 10
    for moment in range(1, moments, moments // kills):
        run = shutil.copytree(home / "run", tmp_path / "run")
        killed = nursery.run("update", run, harm=Harm(str(run), at=moment))
        assert killed.code == -9, moment
        left = load_run(run)
        if left.finished:
            assert left.data.class_names in (("a", "b", "c"), ("a", "b", "c", "d"))
        else:
            one_line(nursery.run("update", run).err, "go on with `lll resume")
        assert nursery.run("resume", run).code == 0
        assert nursery.run("update", run).code == 0
        assert content(run) == content(home / "whole"), moment
        shutil.rmtree(run)
