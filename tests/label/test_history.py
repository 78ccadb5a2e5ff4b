"""What was done can be undone in any order, and what is left is what was not undone."""

import io
import json
import tempfile
from pathlib import Path

import pyarrow.parquet
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.label.inside import inside
from tests.label.serving import link_images

from lll.labels.store import open_store, replay

IMAGES = 8
OPS = st.one_of(
    st.tuples(st.just("label"), st.sets(st.integers(0, IMAGES - 1), min_size=1), st.integers(0, 5)),
    st.tuples(st.just("rename"), st.integers(0, 9), st.integers(0, 5)),
    st.tuples(st.just("merge"), st.integers(0, 9), st.integers(0, 9)),
    st.tuples(st.just("split"), st.integers(0, 9), st.integers(0, 5)),
    st.tuples(st.just("undo"), st.integers(0, 99), st.none()),
    st.tuples(st.just("redo"), st.integers(0, 99), st.none()),
)


def of_class(inside, class_id):
    return [i for i, found in enumerate(inside.session.targets().tolist()) if found == class_id]


def do(inside, op, first, second):
    """One request as the page sends it; what is refused changes nothing."""
    if op == "label":
        return inside.act("label", first, name=f"class {second}")
    if op == "rename":
        return inside.act("rename", class_id=first, name=f"class {second}")
    if op == "merge":
        return inside.act("merge", class_id=first, into=second)
    if op == "split":
        some = of_class(inside, first)[:2]
        return inside.act("split", some, class_id=first, name=f"class {second}")
    batches = [
        one["batch"] for one in inside.get("/api/history") if one["undone"] == (op == "redo")
    ]
    return inside.act(op, batch=batches[first % len(batches)]) if batches else (400, {})


def plain(state):
    """What a person sees of a state: classes by name, and the name of each image's class."""
    live = state.live()
    return sorted(live.values()), {path: live[state.class_of(path)] for path in state.labels}


SHOWN = ("class", "rename", "merge", "split", "label")


class Naive:
    """The same by the plainest means: all that is not undone, done anew from nothing."""

    def __init__(self, events):
        undone = []
        for event in events:
            if event.op == "undo":
                undone.append(event.undone)
            elif event.op == "redo":
                undone.remove(event.undone)
        self.names, self.becomes, self.of = {}, {}, {}
        for event in events:
            if event.batch not in undone and event.op in (
                "class",
                "rename",
                "merge",
                "split",
                "label",
            ):
                getattr(self, event.op)(event)

    def class_(self, event):
        self.names[event.class_id] = event.name

    def rename(self, event):
        if event.class_id in self.names:
            self.names[event.class_id] = event.name

    def merge(self, event):
        if event.class_id in self.names:
            self.becomes[event.class_id] = event.into

    def label(self, event):
        self.of |= dict.fromkeys(event.images, event.class_id)

    def split(self, event):
        self.names[event.into] = event.name
        self.of |= dict.fromkeys(event.images, event.into)

    def end(self, class_id):
        while class_id in self.becomes:
            class_id = self.becomes[class_id]
        return class_id

    def plain(self):
        live = sorted(name for one, name in self.names.items() if one not in self.becomes)
        return live, {path: self.names[self.end(one)] for path, one in self.of.items()}


setattr(Naive, "class", Naive.class_)


@settings(
    max_examples=15, deadline=None, suppress_health_check=[HealthCheck.too_slow], derandomize=True
)
@given(st.lists(OPS, min_size=1, max_size=15))
def test_in_any_order_the_state_is_that_of_a_replay_and_of_the_plainest_means(ops):
    with tempfile.TemporaryDirectory() as name:
        folder = link_images(Path(name), IMAGES)
        with inside(folder) as page:
            for op in ops:
                before = page.session.store.history()
                status, told = do(page, *op)
                events = page.session.store.history()
                assert (status == 200) == (len(events) > len(before))
                assert status == 200 or events == before, told
                assert plain(page.session.state) == plain(replay(events)) == Naive(events).plain()
            at_last = plain(page.session.state)
            rows = page.ask("GET", "/export/csv")[1].decode().splitlines()[1:]
            assert {row.split(",")[0]: row.split(",")[1] for row in rows} == at_last[1]
        with open_store(folder, write=False) as store:
            assert plain(store.state()) == at_last


def test_the_history_shows_batches_and_any_is_undone_and_done_again(tmp_path):
    with inside(link_images(tmp_path / "photos", 6)) as page:
        page.act("label", [0, 1], name="heron")
        page.act("label", [2], name="stork")
        page.act("skip", [3])
        shown = page.get("/api/history")
        assert [one["what"] for one in shown] == [
            "skip",
            "new class 'stork', label 'stork'",
            "new class 'heron', label 'heron'",
        ]
        assert [one["images"] for one in shown] == [1, 1, 2]
        assert page.act("undo", batch=shown[2]["batch"])[0] == 200
        assert plain(page.session.state) == (["stork"], {"2.png": "stork"})
        assert [one["undone"] for one in page.get("/api/history")] == [False, False, True]
        assert page.act("redo", batch=shown[2]["batch"])[0] == 200
        assert plain(page.session.state)[0] == ["heron", "stork"]
        status, told = page.act("undo", batch="nothing")
        assert (status, "no batch 'nothing'" in told["error"]) == (400, True)


def test_files_of_every_format(tmp_path):
    with inside(link_images(tmp_path / "photos", 4)) as page:
        page.act("label", [0, 2], name="heron")
        status, told = page.ask("GET", "/export/label-studio")
        assert status == 200
        tasks = [
            (task["data"]["image"], task["annotations"][0]["result"][0]["value"]["choices"])
            for task in json.loads(told)
        ]
        root = "/data/local-files/?d="
        assert tasks == [(f"{root}0.png", ["heron"]), (f"{root}2.png", ["heron"])]
        table = pyarrow.parquet.read_table(io.BytesIO(page.ask("GET", "/export/parquet")[1]))
        assert table.column("path").to_pylist() == ["0.png", "2.png"]
        assert page.ask("GET", "/export/xls")[0] == 404


@pytest.mark.parametrize("link", [True, False])
def test_class_folders_beside_the_folder(tmp_path, link):
    folder = link_images(tmp_path / "photos", 4)
    with inside(folder) as page:
        page.act("label", [0, 2], name="heron")
        page.act("label", [1], name="../stork")
        status, told = page.ask("POST", "/api/folders", {"out": "sorted", "link": link})
        assert status == 200, told
        found = sorted(
            p.relative_to(tmp_path).as_posix() for p in (tmp_path / "sorted").rglob("*.png")
        )
        assert found == ["sorted/_stork/1.png", "sorted/heron/0.png", "sorted/heron/2.png"]
        same = (tmp_path / "sorted/heron/0.png").samefile(folder / "0.png")
        assert same == link
        for out, words in [("sorted", "exists already"), ("photos/inside", "lies in")]:
            status, told = page.ask("POST", "/api/folders", {"out": out, "link": link})
            assert (status, words in told.decode()) == (400, True)
        assert not (folder / "inside").exists()
