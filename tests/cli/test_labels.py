"""``lll labels``: as a person uses it, with right and with wrong input."""

import csv
import json
from contextlib import ExitStack
from urllib.parse import unquote

import pyarrow.parquet
import pytest
from PIL import Image
from tests.processes import in_process, one_line

from lll.labels.store import Event, open_store, store_path


@pytest.fixture
def folder(tmp_path):
    folder = tmp_path / "photos"
    for i, name in enumerate(("0.png", "=1.png", "in/2.png", "in/3.png", "4.png")):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (20, 20), (50 * i, 9, 9)).save(folder / name)
    return folder


def table(tmp_path, text):
    path = tmp_path / "given.csv"
    path.write_text(text)
    return path


def labels(*words):
    ended = in_process("labels", *words)
    assert ended.code == 0, ended.err
    return ended.out


def state(folder):
    with open_store(folder, write=False) as store:
        now = store.state()
    return {path: now.live()[now.class_of(path)] for path in now.labels}


GIVEN = "path,label\n0.png,heron\n'=1.png,gull\nin/2.png,heron\nin/3.png,\n"


def test_labels_come_in_go_out_and_come_in_again(folder, tmp_path):
    out = labels("import", folder, table(tmp_path, GIVEN))
    assert "3 new labels, 2 new classes" in out
    assert "0 new labels" in labels("import", folder, table(tmp_path, GIVEN))
    known = {"0.png": "heron", "=1.png": "gull", "in/2.png": "heron"}
    assert state(folder) == known
    labels("export", folder, "--out", tmp_path / "a.csv")
    rows = list(csv.DictReader((tmp_path / "a.csv").open()))
    assert [row["path"] for row in rows] == ["0.png", "'=1.png", "in/2.png"]
    assert {row["origin"] for row in rows} == {"import"} and rows[0]["time"].endswith("+00:00")
    labels("export", folder, "--out", tmp_path / "a.parquet")
    columns = pyarrow.parquet.read_table(tmp_path / "a.parquet").to_pydict()
    assert dict(zip(columns["path"], columns["label"], strict=True)) == known
    labels("export", folder, "--out", tmp_path / "a.json")
    labels("export", folder, "--out", tmp_path / "tasks", "--format", "label-studio")
    tasks = json.loads((tmp_path / "a.json").read_text())
    assert tasks == json.loads((tmp_path / "tasks").read_text())
    root = "/data/local-files/?d="
    places = [unquote(task["data"]["image"].removeprefix(root)) for task in tasks]
    results = [task["annotations"][0]["result"][0] for task in tasks]
    assert [result["type"] for result in results] == ["choices"] * 3
    given = [result["value"]["choices"] for result in results]
    assert {place: name for place, [name] in zip(places, given, strict=True)} == known
    wrong = in_process("labels", "export", folder, "--out", tmp_path / "b", "--format", "cvs")
    one_line(wrong.err, "--format 'cvs': did you mean 'csv'?")
    labels("export", folder, "--out", tmp_path / "classes", "--link")
    names = {str(p.relative_to(tmp_path / "classes")) for p in (tmp_path / "classes").rglob("*.*")}
    assert names == {"heron/0.png", "heron/in__2.png", "gull/=1.png"}
    labels("undo", folder)
    assert state(folder) == {}
    assert "3 new labels" in labels("import", folder, tmp_path / "a.csv")
    assert state(folder) == known


def test_classes_are_merged_renamed_proposals_named_and_all_of_it_undone(folder, tmp_path):
    labels("import", folder, table(tmp_path, GIVEN))
    labels("merge", folder, "gull", "heron")
    labels("rename", folder, "heron", "bird")
    assert set(state(folder).values()) == {"bird"}
    with open_store(folder, write=True) as store:
        store.append([Event("propose", ("in/3.png", "4.png"), name="new-1")])
        store.append([Event("propose", ("4.png",), name="new-2")])
    assert "proposals: new-1 2 images, new-2 1 image" in labels("history", folder)
    out = labels("name", folder, "new-1", "fish")
    assert "2 new labels" in out and f"lll train {folder}" in out
    assert " new-1 is 'fish'" in labels("history", folder)
    assert state(folder)["4.png"] == "fish"
    labels("undo", folder)
    labels("reject", folder, "new-2")
    assert "4.png" not in state(folder)
    told = labels("history", folder)
    assert " new-1 is 'fish'" in told and "(undone)" in told and "reject new-2" in told
    events = [json.loads(line) for line in labels("history", folder, "--json").splitlines()]
    assert [e["op"] for e in events][-2:] == ["undo", "reject"]
    merged = next(e for e in events if e["op"] == "merge")
    out = labels("undo", folder, merged["batch"][:8])
    assert f"undo: merge 'gull' into 'bird' (batch {merged['batch'][:8]})" in out
    assert state(folder)["=1.png"] == "gull"
    labels("redo", folder)
    assert set(state(folder).values()) == {"bird"}


def test_labels_of_class_folders_are_told_apart(folder, tmp_path):
    labels("import", folder, table(tmp_path, "path,label\n0.png,in\n"))
    assert "1 label, beside those of 1 class folder; 1 class: in 1" in labels("history", folder)
    out = labels("export", folder, "--out", tmp_path / "a.csv")
    assert out == f"{tmp_path / 'a.csv'}: 1 label, beside those of 1 class folder\n"


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("path,label\nnope.png,heron\n", "given.csv line 2: 'nope.png' is not an image in"),
        ("path,label\n0.png,a\n0.png,b\n", "line 3: 0.png has two labels, 'a' and 'b'"),
        ("path\n0.png\n", "label"),
        ("path,label\n0.png,none\n", "may be a class or mean that there is no label"),
    ],
)
def test_a_wrong_table_changes_nothing(folder, tmp_path, text, words):
    ended = in_process("labels", "import", folder, table(tmp_path, text))
    assert ended.code == 2
    one_line(ended.err, words)
    assert not store_path(folder).exists()


def test_what_is_not_there_is_one_line(folder, tmp_path):
    for words, said in (
        (("history", tmp_path / "x"), "no such folder"),
        (("rename", folder, "a", "b"), "has no labels of its own yet"),
        (("export", folder, "--out", tmp_path / "a.csv"), "has no labels of its own yet"),
    ):
        ended = in_process("labels", *words)
        assert ended.code == 2
        one_line(ended.err, said)
    labels("import", folder, table(tmp_path, GIVEN))
    for words, said in (
        (("rename", folder, "herom", "b"), "no class 'herom': did you mean 'heron'?"),
        (("rename", folder, "heron", "gull"), "class 'gull' exists already"),
        (("merge", folder, "heron", "heron"), "cannot be merged into itself"),
        (("name", folder, "new-1", "x"), "no open proposal 'new-1'"),
        (("undo", folder, "zz"), "no batch begins with 'zz'"),
        (("redo", folder), "nothing to redo"),
        (("export", folder, "--out", folder), "exists already"),
    ):
        ended = in_process("labels", *words)
        assert ended.code == 2, words
        one_line(ended.err, said)


def newer(path):
    whole = path.read_bytes()
    path.write_bytes(whole[:60] + b"\0\0\0\2" + whole[64:])


def damaged(path):
    whole = path.read_bytes()
    path.write_bytes(whole[:2000] + b"\xff" * 3000 + whole[5000:])


@pytest.mark.parametrize(
    ("harm", "words"), [(newer, "newer lll"), (damaged, "damaged"), (None, "writes its labels now")]
)
def test_a_store_that_cannot_be_used_is_one_line_of_every_command(folder, tmp_path, harm, words):
    given = table(tmp_path, GIVEN)
    labels("import", folder, given)
    path = store_path(folder)
    writing = [
        ("labels", "import", folder, given),
        ("labels", "merge", folder, "gull", "heron"),
        ("labels", "rename", folder, "gull", "bird"),
        ("labels", "name", folder, "new-1", "bird"),
        ("labels", "reject", folder, "new-1"),
        ("labels", "undo", folder),
        ("labels", "redo", folder),
    ]
    reading = [
        ("labels", "history", folder),
        ("labels", "export", folder, "--out", tmp_path / "a.csv"),
        ("train", folder, "--method", "novel", "--out", tmp_path / "run"),
        ("discover", folder),
    ]
    with ExitStack() as held:
        if harm:
            harm(path)
        else:
            held.enter_context(open_store(folder, write=True))
        before = path.read_bytes()
        for command in writing + (reading if harm else []):
            ended = in_process(*command)
            assert ended.code == 2, command
            one_line(ended.err, words)
        assert path.read_bytes() == before
    assert not (tmp_path / "run").exists() and not (tmp_path / "a.csv").exists()
