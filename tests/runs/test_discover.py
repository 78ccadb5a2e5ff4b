"""`lll discover` on photos whose fourth class nobody has named: from files to a class."""

import csv
import json
import shutil

import numpy as np
import pytest
from PIL import Image
from tests.photos import write_photos
from tests.processes import in_process, one_line

from lll.cli.discover import in_words
from lll.labels.store import Event, open_store, store_path
from lll.methods.novel.number import Number

HIDDEN = "star"


@pytest.fixture(scope="module")
def photos(tmp_path_factory):
    """Three kinds labelled; among the unlabelled ones a few of each, and all stars."""
    folder = write_photos(tmp_path_factory.mktemp("photos"), 12, unlabelled=16, size=(160, 120))
    for path in sorted((folder / HIDDEN).iterdir()):
        path.rename(folder / "unlabelled" / f"{HIDDEN}{path.name}")
    (folder / HIDDEN).rmdir()
    return folder


@pytest.fixture(scope="module")
def found(photos):
    ended = in_process("discover", photos, "--new-classes", "1", "--json")
    assert ended.code == 0, ended.err
    return json.loads(ended.out)


def test_the_class_without_a_name_is_proposed(photos, found):
    home = photos / ".lll" / "discovered"
    rows = list(csv.DictReader((home / "discovered.csv").open()))
    assert len(rows) == 28
    proposed = [row["class"] == "new-1" for row in rows]
    stars = [HIDDEN in row["path"] or int(row["path"][-7:-4]) % 4 == 3 for row in rows]
    assert np.mean(np.array(proposed) == np.array(stars)) > 0.8
    assert all(float(row["distance"]) >= 0 for row in rows)
    assert Image.open(home / "new-1.png").size[0] > 700
    assert "new-1" in (home / "discovered.html").read_text()
    assert found["number"] is None
    assert found["proposals"][0]["images"] == sum(proposed)


def test_a_proposal_that_is_named_becomes_a_class_beside_the_others(photos, found, tmp_path):
    folder = shutil.copytree(photos, tmp_path / "photos")
    assert in_process("labels", "name", folder, "new-1", HIDDEN).code == 0
    ended = in_process("data", "info", folder)
    assert all(name in ended.out for name in ("ball", "ladder", "ring", HIDDEN)), ended
    again = in_process("discover", folder, "--json")
    assert again.code == 0, again.err
    with open_store(folder, write=False) as store:
        assert HIDDEN in store.state().live().values()


def test_an_earlier_proposal_makes_way_for_the_new_one(photos, found, tmp_path):
    folder = shutil.copytree(photos, tmp_path / "photos")
    assert in_process("discover", folder, "--new-classes", "2", "--quiet").code == 0
    with open_store(folder, write=False) as store:
        names = sorted(p.name for p in store.state().proposals.values())
    assert names == ["new-1", "new-2"]


def refused(*words):
    """The one line of a command that ends with exit code 2."""
    ended = in_process("discover", *words, "--quiet")
    assert ended.code == 2, ended
    return one_line(ended.err)


@pytest.fixture
def nothing_is_encoded(monkeypatch):
    def encodes(*given, **named):
        raise AssertionError("images were encoded before the input was checked")

    monkeypatch.setattr("lll.runs.discover.features_of", encodes)
    monkeypatch.setattr("lll.runs.discover.prepare", encodes)


@pytest.mark.usefixtures("nothing_is_encoded")
def test_bad_input_is_one_line(photos, tmp_path):
    assert "no unlabelled image" in refused("digits")
    assert "29 new classes are more than its 28" in refused(photos, "--new-classes", "29")
    assert "--new-classes 'many'" in refused(photos, "--new-classes", "many")
    bare = tmp_path / "bare"
    shutil.copytree(photos / "unlabelled", bare / "unlabelled")
    assert "label" in refused(bare)


@pytest.mark.usefixtures("nothing_is_encoded")
def test_too_many_new_classes_for_a_run(tmp_path):
    words = ["--data", "digits", "--method", "baseline", "--labels", "0.5", "--epochs", "1"]
    assert in_process("train", *words, "--out", tmp_path / "run", "--quiet").code == 0
    line = refused(tmp_path / "run", "--new-classes", "999999")
    assert "999999 new classes are more than its" in line


@pytest.fixture
def stored(photos, tmp_path):
    """A copy of the photos with a label store of their own; its file."""
    folder = shutil.copytree(photos, tmp_path / "stored")
    first = min(folder.glob("ball/*.jpg")).relative_to(folder).as_posix()
    with open_store(folder, write=True) as store:
        missing = {"ball", "ladder", "ring"} - {*store.state().live().values()}
        store.append([Event("class", name=name) for name in sorted(missing)])
        ball = next(i for i, name in store.state().live().items() if name == "ball")
        store.append([Event("label", images=(first,), class_id=ball)])
    return folder


@pytest.mark.usefixtures("nothing_is_encoded")
def test_a_label_store_that_cannot_be_used_is_one_line(stored):
    with open_store(stored, write=True):  # as another process would
        assert "writes its labels now" in refused(stored)
    path = store_path(stored)
    whole = path.read_bytes()
    path.write_bytes(whole[:60] + b"\0\0\0\2" + whole[64:])
    assert "newer lll" in refused(stored)
    path.write_bytes(whole[:2000] + b"\xff" * 3000 + whole[5000:])
    assert "damaged" in refused(stored)


def test_one_known_class_is_said(photos, tmp_path):
    folder = tmp_path / "one"
    for kind in ("ball", "unlabelled"):
        shutil.copytree(photos / kind, folder / kind)
    ended = in_process("discover", folder, "--new-classes", "2", "--quiet")
    assert ended.code == 0, ended.err
    assert ended.err.startswith("note: only one class has labels, 'ball'")
    assert ended.err.count("\n") == 1


def test_the_range_says_what_it_supposes():
    said = in_words(Number(2, 1, 6, 0.45, (0.4, 0.45, 0.5), 59.2))
    assert "about 45% of them are of known classes" in said
    assert "2 new classes if new classes are about as large as known ones (59 images each)" in said
    assert "1, if they are three times as large, to 6, if a third as large" in said
    assert "labels of a class for a random draw" in said
    assert "images alone do not tell" in said and "--new-classes N" in said
    assert "no sign of new classes" in in_words(Number(0, 0, 1, 0.97, (0.97,), 59.2))
