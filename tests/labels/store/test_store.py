"""The store of labels: replay, undo, ids that never move, one writer, death at any moment."""

import random
import signal
import sqlite3
import subprocess
import sys
import threading

import pytest
from tests.processes import ENVIRONMENT

from lll import UserError
from lll.labels.store import Event, content_of, found_again, open_store, replay, store_path

IMAGES = [f"{i}.jpg" for i in range(12)]
CONTENT = ("classes", "labels", "audits", "excluded", "marks", "proposals")


def content(state):
    return {name: getattr(state, name) for name in CONTENT}


def event(op, images=(), **rest):
    return Event(op, tuple(images), hashes=tuple(f"1-{image}" for image in images), **rest)


def random_event(draw, state):
    """An event that may be written in ``state``, or None."""
    images = draw.sample(IMAGES, draw.randint(1, 4))
    classes, name = list(state.classes), f"name{draw.randrange(10**9)}"
    if not classes:
        return event("class", name=name)
    class_id, other = draw.choice(classes), draw.choice(classes)
    mine = [image for image in IMAGES if state.class_of(image) == state.resolved(class_id)]
    proposal = draw.choice([*state.proposals, None])
    known = proposal is not None
    return draw.choice(
        [
            event("class", name=name),
            event("label", images, class_id=class_id),
            event("label", images, class_id=class_id, origin="audit", predicted=other),
            event("not", images, class_id=class_id),
            event(draw.choice(["unlabel", "skip", "unsure"]), images),
            event("rename", class_id=class_id, name=name),
            event("merge", class_id=class_id, into=other)
            if state.resolved(class_id) != state.resolved(other)
            else None,
            event("split", mine[:2], class_id=class_id, name=name) if mine else None,
            event("propose", images, name="new-1"),
            Event("name", proposal=proposal, name=name) if known else None,
            Event("reject", proposal=proposal) if known else None,
        ]
    )


@pytest.mark.parametrize("seed", range(6))
def test_replay_gives_the_state_undo_restores_it_and_ids_never_move(tmp_path, seed):
    draw, ids = random.Random(seed), {}
    with open_store(tmp_path, write=True) as store:
        for _ in range(25):
            before = store.state()
            new = random_event(draw, before)
            if new is None:
                continue
            store.append([new])
            after = store.state()
            for class_id in after.classes.keys() - before.classes.keys():
                assert class_id not in ids  # also of a class that was undone
                ids[class_id] = after.classes[class_id].name
            undone = store.undo()
            assert content(store.state()) == content(before)
            assert set(undone.images) >= set(new.images)
            if draw.random() < 0.7:
                store.redo()
                assert content(store.state()) == content(after)
            elif draw.random() < 0.3:  # one of long ago: exact, or refused
                wanted = draw.choice(store.history()).batch
                try:
                    store.undo(wanted)
                except UserError:
                    wanted = ""
                kept = [e for e in store.history() if e.batch not in store.state().undone]
                assert content(replay(kept)) == content(store.state())
        assert store.state() == replay(store.history())
        now, last = store.state(), store.history(since=store.state().seq - 1)
    with open_store(tmp_path, write=False) as store:
        assert store.state() == now
        assert store.history(since=now.seq - 1) == last


def test_a_batch_is_undone_together_and_an_event_sent_twice_counts_once(tmp_path):
    with open_store(tmp_path, write=True) as store:
        sent = [event("class", name="heron", uuid="a"), event("class", name="gull", uuid="b")]
        first = store.append(sent)
        assert [e.class_id for e in first] == [0, 1] and first[0].batch == first[1].batch
        assert store.append(sent) == first
        labelled = event("label", ["1.jpg"], class_id=0, uuid="c")
        [one] = store.append([labelled])
        assert one.previous == (None,)
        undone = store.undo(uuid="d")
        assert undone.images == ("1.jpg",)
        assert store.undo(uuid="d") == undone  # the page sends it again
        assert not store.state().labels and len(store.state().classes) == 2
        with pytest.raises(UserError, match="nothing to undo"):
            store.undo(), store.undo()


def test_all_or_none_of_a_call_is_written(tmp_path):
    with open_store(tmp_path, write=True) as store:
        with pytest.raises(UserError, match="no class 7"):
            store.append([event("class", name="heron"), event("label", ["a"], class_id=7)])
        assert store.history() == [] and not store.state().classes


def test_merge_is_an_alias_and_can_be_undone(tmp_path):
    with open_store(tmp_path, write=True) as store:
        store.append([event("class", name=name) for name in ("heron", "egret", "gull")])
        store.append([event("label", ["a"], class_id=1), event("label", ["b"], class_id=0)])
        store.append([event("merge", class_id=1, into=0)])
        state = store.state()
        assert state.live() == {0: "heron", 2: "gull"}
        assert state.class_of("a") == 0 == state.named("egret")
        store.append([event("label", ["c"], class_id=1)])  # after the merge: a heron for good
        with pytest.raises(UserError, match="into itself"):
            store.append([event("merge", class_id=0, into=1)])
        merge = next(e for e in store.history() if e.op == "merge")
        store.undo(merge.batch)
        assert [store.state().class_of(image) for image in "abc"] == [1, 0, 0]


def test_an_undo_that_later_events_need_is_refused(tmp_path):
    with open_store(tmp_path, write=True) as store:
        [heron] = store.append([event("class", name="heron")])
        store.append([event("label", ["a"], class_id=0)])
        before = store.state()
        with pytest.raises(UserError, match="'a': undo that label first"):
            store.undo(heron.batch)
        assert store.state() == before
        [renamed] = store.append([event("rename", class_id=0, name="egret")])
        store.append([event("class", name="heron")])
        with pytest.raises(UserError, match="two classes 'heron'"):
            store.undo(renamed.batch)


def test_a_proposal_is_named_in_parts_and_an_audit_follows_its_label(tmp_path):
    with open_store(tmp_path, write=True) as store:
        [new] = store.append([event("propose", "abcd", name="new-1", model="run")])
        store.append([Event("name", ("a", "b"), proposal=new.proposal, name="heron")])
        store.append([event("reject", "c", proposal=new.proposal)])
        state = store.state()
        assert state.live() == {0: "heron"}
        assert [state.labels[i].origin for i in "ab"] == ["suggestion"] * 2
        assert list(state.proposals[0].images) == ["d"]
        store.append([Event("name", proposal=0, name="heron")])  # the same class
        assert not store.state().proposals and store.state().class_of("d") == 0
        store.append([event("label", ["a"], class_id=0, origin="audit", predicted=None)])
        assert store.state().audits["a"].predicted is None
        store.append([event("unlabel", ["a"])])
        assert not store.state().audits


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        (event("class", name="  "), "1 to 200"),
        (event("class", name="a\nb"), "visible"),
        (event("class", name="unlabelled"), "no label"),
        (event("class", name=" here "), "exists already"),
        (event("rename", class_id=9, name="x"), "no class 9"),
        (event("label", class_id=0), "names no image"),
        (event("label", ["a", "a"], class_id=0), "twice"),
        (event("label", ["a"], class_id=0, origin="oracle"), "origin 'oracle'"),
        (event("split", ["a"], class_id=0, name="x"), "'a' is not of class 'here'"),
        (event("name", proposal=3, name="x"), "no open proposal 3"),
        (event("lable", ["a"], class_id=0), "did you mean 'label'"),
        (Event("label", ("gone.jpg",), class_id=0), "gone.jpg"),
    ],
)
def test_what_cannot_be_is_one_line(tmp_path, wrong, words):
    with open_store(tmp_path, write=True) as store:
        store.append([event("class", name="here")])
        with pytest.raises(UserError, match=words):
            store.append([wrong])
        assert len(store.history()) == 1


def test_readers_see_what_a_writer_adds_and_threads_share_it(tmp_path):
    with (
        open_store(tmp_path, write=True) as writer,
        open_store(tmp_path, write=False) as reader,
    ):
        writer.append([event("class", name="heron")])
        assert reader.state() == writer.state()

        def label(image):
            writer.append([event("label", [image], class_id=0)])

        threads = [threading.Thread(target=label, args=(image,)) for image in IMAGES]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert set(reader.state().labels) == set(IMAGES)
        writer.undo()
        assert len(reader.state().labels) == len(IMAGES) - 1
        with pytest.raises(UserError, match="permissions"):
            reader.append([event("class", name="gull")])


def test_events_are_only_added(tmp_path):
    with open_store(tmp_path, write=True) as store:
        store.append([event("class", name="heron")])
    connection = sqlite3.connect(store_path(tmp_path))
    for statement in ("DELETE FROM event", "UPDATE event SET name = 'gull'"):
        with pytest.raises(sqlite3.DatabaseError, match="only added"):
            connection.execute(statement)
    connection.close()


def test_a_store_that_cannot_be_used_is_one_line(tmp_path):
    with pytest.raises(UserError, match="no labels of its own yet"), open_store(tmp_path, write=0):
        pass
    with pytest.raises(UserError, match="no such folder"), open_store(tmp_path / "x", write=True):
        pass
    with open_store(tmp_path, write=True) as store:
        store.append([event("class", name="heron")])
    path = store_path(tmp_path)
    whole = path.read_bytes()
    for spoil, words in (
        (lambda: path.write_bytes(b"no database at all" * 300), "damaged"),
        (lambda: path.write_bytes(whole[:2000] + b"\xff" * 3000 + whole[5000:]), "damaged"),
        (lambda: path.write_bytes(whole[:60] + b"\0\0\0\2" + whole[64:]), "newer lll"),
        (lambda: path.write_bytes(whole[:68] + b"\0\0\0\2" + whole[72:]), "not a store of labels"),
    ):
        spoil()
        for write in (True, False):
            with pytest.raises(UserError, match=words), open_store(tmp_path, write=write) as store:
                store.state()


WRITER = """
import sys
from pathlib import Path
from lll.labels.store import Event, open_store
with open_store(Path(sys.argv[1]), write=True) as store:
    if not store.state().classes:
        store.append([Event("class", name="heron")])
    print("ready", flush=True)
    while True:
        image = f"{store.state().seq}.jpg"
        [done] = store.append([Event("label", (image,), hashes=("1-a",), class_id=0)])
        print(done.seq, flush=True)
"""


def test_a_second_writer_is_refused_and_a_kill_loses_at_most_the_event_in_flight(tmp_path):
    draw, told = random.Random(0), 1
    for _ in range(6):
        child = subprocess.Popen(
            [sys.executable, "-c", WRITER, str(tmp_path)],
            stdout=subprocess.PIPE,
            text=True,
            env=ENVIRONMENT,
        )
        assert child.stdout is not None and child.stdout.readline() == "ready\n"
        with (
            pytest.raises(UserError, match=f"process {child.pid} on .* writes its labels now"),
            open_store(tmp_path, write=True),
        ):
            pass
        for _ in range(draw.randrange(1, 9)):
            told = int(child.stdout.readline())
        child.send_signal(signal.SIGKILL)
        told = max([told, *map(int, child.stdout.read().split())])
        child.wait()
        child.stdout.close()
        with open_store(tmp_path, write=True) as store:
            numbers = [e.seq for e in store.history()]
            assert numbers == list(range(1, len(numbers) + 1))
            assert len(numbers) in (told, told + 1)
            assert store.state() == replay(store.history())
            told = len(numbers)


def test_a_moved_image_is_found_again_by_its_content(tmp_path):
    files = {"a.jpg": b"one", "b/b.jpg": b"two", "c.jpg": b"three", "copy.jpg": b"one"}
    for path, data in files.items():
        (tmp_path / path).parent.mkdir(exist_ok=True)
        (tmp_path / path).write_bytes(data)
    labelled = {path: content_of(tmp_path / path) for path in ("a.jpg", "b/b.jpg", "c.jpg")}
    (tmp_path / "b/b.jpg").rename(tmp_path / "moved.jpg")
    (tmp_path / "c.jpg").write_bytes(b"THREE")  # of the same size, and another image
    sizes = {p.name: p.stat().st_size for p in tmp_path.iterdir() if p.is_file()}
    read = []

    def reading(path):
        read.append(path)
        return content_of(tmp_path / path)

    found = found_again(labelled, sizes, reading)
    assert found == {"a.jpg": "a.jpg", "b/b.jpg": "moved.jpg"}
    assert len(read) <= 5  # none of another size
