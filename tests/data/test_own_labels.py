"""Folders with a store of labels: what is combined, moved, refused, and decoded only once."""

import numpy as np
import pytest
from PIL import Image

from lll import UserError, train
from lll.config import RunConfig
from lll.data import load_data
from lll.labels.store import Event, open_store


def paint(path, colour):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", (40, 40), colour).save(path)


def flat(folder, count=6):
    for i in range(count):
        paint(folder / f"{i}.png", (40 * i, 100, 255 - 40 * i))
    return folder


def say(folder, labels, origin="person", classes=()):
    """Write ``labels`` (path to class name) into the store of ``folder``."""
    with open_store(folder, write=True) as store:
        for name in sorted({*labels.values(), *classes} - {*store.state().live().values()}):
            store.append([Event("class", name=name)])
        state = store.state()
        store.append(
            Event("label", (path,), class_id=state.named(name), origin=origin)
            for path, name in labels.items()
        )


def known(data):
    """Labels by id, of all splits."""
    return {
        str(i): data.class_names[label]
        for part in data.parts.values()
        for i, label in zip(part.ids, part.labels, strict=True)
        if label >= 0
    }


def test_a_flat_folder_needs_no_more_than_its_store(tmp_path):
    say(flat(tmp_path), {"0.png": "cat", "3.png": "dog"}, classes=["heron"])
    data = load_data(tmp_path)
    assert data.class_names == ("cat", "dog", "heron")
    assert known(data) == {"0.png": "cat", "3.png": "dog"}
    assert (len(data.train), len(data.test)) == (6, 0) and not data.unused
    assert data.givers["0.png"].origin == "person" and data.givers["0.png"].time.endswith("+00:00")


def test_the_run_records_who_said_it(tmp_path):
    say(flat(tmp_path / "photos"), {"0.png": "cat", "3.png": "dog"})
    say(tmp_path / "photos", {"5.png": "dog"}, origin="import")
    config = RunConfig(
        data=str(tmp_path / "photos"),
        method="baseline",
        epochs=2,
        width=8,
        labels=1,
        classes="all",
        validation_share=0,
    )
    run = train(config, tmp_path / "run", cache=tmp_path / "cache")
    events = run.label_events()
    assert {(e.id, e.label, e.origin) for e in events} == {
        ("0.png", 0, "person"),
        ("3.png", 1, "person"),
        ("5.png", 1, "import"),
    }
    assert all(e.time and e.epoch == 0 for e in events)


def test_class_folders_a_table_and_the_store_add_up(tmp_path):
    for name in ("cat/1.png", "cat/2.png", "dog/1.png", "loose.png", "more.png"):
        paint(tmp_path / name, (len(name), 3, 200))
    say(tmp_path, {"loose.png": "heron", "cat/2.png": "cat"}, classes=["dog"])
    data = load_data(tmp_path, test_share=0.5)
    expected = {"cat/1.png": "cat", "cat/2.png": "cat", "dog/1.png": "dog", "loose.png": "heron"}
    assert known(data) == expected
    assert not {"loose.png", "cat/2.png"} & set(data.test.ids.tolist())  # a person's labels train
    say(tmp_path, {"dog/1.png": "cat"})
    with pytest.raises(UserError, match=r"dog/1.png is labelled 'cat' \(person\).*says 'dog'"):
        load_data(tmp_path)


def test_folders_that_the_store_never_names_are_albums(tmp_path, caplog):
    for year in (2024, 2025):
        for i in range(3):
            paint(tmp_path / f"{year}" / f"{i}.png", (year - 2000, 9 * i, 9))
    say(tmp_path, {}, classes=["cat"])
    assert load_data(tmp_path).class_names == ("2024", "2025", "cat")
    paint(tmp_path / "unlabelled" / "0.png", (3, 3, 3))
    say(tmp_path, {"unlabelled/0.png": "cat"})
    assert load_data(tmp_path).class_names == ("2024", "2025", "cat")
    say(tmp_path, {"2024/0.png": "cat", "2025/1.png": "dog"})
    data = load_data(tmp_path)
    assert "its folders (2024, 2025, unlabelled) are taken for albums" in caplog.text
    assert data.class_names == ("cat", "dog")
    assert known(data) == {
        "unlabelled/0.png": "cat",
        "2024/0.png": "cat",
        "2025/1.png": "dog",
    }


def test_labels_follow_moved_images_merges_and_renames(tmp_path):
    say(flat(tmp_path), {"0.png": "cat", "1.png": "tomcat", "2.png": "dog"})
    (tmp_path / "0.png").rename(tmp_path / "moved.png")
    paint(tmp_path / "2.png", (1, 2, 3))
    with open_store(tmp_path, write=True) as store:
        store.append([Event("merge", class_id=store.state().named("tomcat"), into=0)])
        store.append([Event("rename", class_id=0, name="feline")])
    data = load_data(tmp_path)
    assert known(data) == {"moved.png": "feline", "1.png": "feline"}
    assert data.class_names == ("dog", "feline")
    assert data.unused[0].count == 1 and data.unused[0].first == "2.png"


def test_a_new_label_decodes_nothing_anew(tmp_path, monkeypatch):
    say(flat(tmp_path / "photos"), {"0.png": "cat", "3.png": "dog"})
    before = load_data(tmp_path / "photos", cache=tmp_path / "cache")
    monkeypatch.setattr("lll.data.assemble.decode_into", None)
    say(tmp_path / "photos", {"1.png": "cat"})
    data = load_data(tmp_path / "photos", cache=tmp_path / "cache")
    assert len(known(data)) == 3
    assert np.array_equal(np.asarray(data.train.images), np.asarray(before.train.images))


def test_a_store_without_any_class_is_one_line(tmp_path):
    with open_store(flat(tmp_path), write=True):
        pass
    with pytest.raises(UserError, match="has no label at all"):
        load_data(tmp_path)
