"""`lll discover` on photos whose fourth class nobody has named: from files to a class."""

import csv
import json
import shutil

import numpy as np
import pytest
from PIL import Image
from tests.photos import write_photos
from tests.processes import in_process, one_line

from lll.labels.store import open_store

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


def test_bad_input_is_one_line(photos, tmp_path):
    def refused(*words):
        ended = in_process("discover", *words, "--quiet")
        assert ended.code == 2
        return one_line(ended.err)

    assert "no unlabelled image" in refused("digits")
    assert "29 new classes are more than its 28" in refused(photos, "--new-classes", "29")
    assert "--new-classes 'many'" in refused(photos, "--new-classes", "many")
    bare = tmp_path / "bare"
    shutil.copytree(photos / "unlabelled", bare / "unlabelled")
    assert "label" in refused(bare)
