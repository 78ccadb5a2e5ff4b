"""Questions, answers and what becomes of them, without a server."""

import uuid

import numpy as np
import pytest
from PIL import Image
from tests.label.serving import write_images

from lll.errors import UserError
from lll.label.acts import Act
from lll.label.gallery import open_gallery
from lll.label.guess import Guess
from lll.label.moved import Followed, follow
from lll.label.session import AUDIT_EVERY, Session
from lll.label.shown import rows as rows_of
from lll.label.shown import summary
from lll.labels.store import open_store


@pytest.fixture
def session(tmp_path):
    folder = write_images(tmp_path / "photos", 40)
    with open_store(folder, write=True) as store:
        yield Session(open_gallery(folder), store)


def do(session, op, images=(), **about):
    act = Act(uuid=str(uuid.uuid4()), op=op, images=tuple(images), **about)
    return session.act(act)


def guess(session, ids=(0, 1), share=0.8):
    """A model that says the first class of even images and the second of odd ones."""
    n = len(session.gallery)
    first = np.where(np.arange(n) % 2, 1 - share, share)
    shares = np.stack([first, 1 - first], axis=1).astype(np.float32)
    session.guess = Guess("m", "logistic", 2, ids, shares, np.ones(n, dtype=bool))


def last(session):
    return session.store.history()[-1]


def test_before_features_the_order_is_that_of_the_files(session):
    assert [session.ask({0, 1}).image, session.ask({2}).image] == [2, 3]
    do(session, "label", [0], name="a", asked=True)
    do(session, "skip", [1])
    assert session.ask(()).image == 3


def test_every_tenth_question_is_an_audit_fixed_before_it_is_shown(session):
    do(session, "label", [0], name="a")
    do(session, "label", [1], name="b")
    guess(session)
    asked = [session.ask({0, 1}) for _ in range(2 * AUDIT_EVERY)]
    audits = [question.audit for question in asked]
    assert audits == ([False] * (AUDIT_EVERY - 1) + [True]) * 2
    audit = asked[AUDIT_EVERY - 1]
    predicted = audit.ranked[0][0]
    guess(session, share=0.3)  # a later model says the opposite, and changes nothing
    do(session, "label", [audit.image], class_id=1 - predicted, asked=True)
    event = last(session)
    assert (event.origin, event.predicted, event.class_id) == ("audit", predicted, 1 - predicted)
    assert summary(session)["audit"]["n"] == 1
    assert summary(session)["audit"]["right"] == 0
    do(session, "undo")
    assert summary(session)["audit"]["n"] == 0


def test_who_had_the_idea(session):
    do(session, "label", [0], name="a")
    do(session, "label", [1], name="b")
    assert last(session).origin == "person"
    guess(session)
    do(session, "label", [2, 3, 4], class_id=0)
    by_origin = {event.origin: event.images for event in session.store.history()[-2:]}
    assert by_origin == {"suggestion": ("00002.png", "00004.png"), "person": ("00003.png",)}
    do(session, "undo")
    assert summary(session)["labelled"] == 2, "both at once"


def test_an_act_that_comes_twice_counts_once(session):
    act = Act(uuid=str(uuid.uuid4()), op="label", images=(0, 1, 0), name="a", asked=True)
    assert session.act(act) == session.act(act)
    assert session.state.live() == {0: "a"}
    assert len(session.store.history()) == 2
    undo = Act(uuid=str(uuid.uuid4()), op="undo")
    session.act(undo)
    session.act(undo)
    assert summary(session)["labelled"] == 0
    assert session.state.live() == {}


def test_what_an_image_is_not_is_not_suggested_again(session):
    do(session, "label", [0], name="a")
    do(session, "label", [1], name="b")
    guess(session)
    question = session.ask({0, 1})
    top = question.ranked[0][0]
    do(session, "not", [question.image], class_id=top)
    assert [class_id for class_id, _ in session.again(question.image).ranked] == [1 - top]
    rows = np.frombuffer(rows_of(session), "<i2", count=80)
    assert rows[40 + question.image] == 1 - top


@pytest.mark.parametrize("images", [[-1], [40], [0, 99]])
def test_images_that_are_not_there(session, images):
    with pytest.raises(UserError, match="load the page again"):
        do(session, "label", images, name="a")
    assert session.store.history() == []


def test_a_large_lasso_is_undone_to_the_same_state(session):
    do(session, "label", [5], name="a")
    before = session.store.state()
    do(session, "label", range(40), name="b")
    assert summary(session)["labelled"] == 40
    told = do(session, "undo")
    assert (told["images"], told["what"]) == (40, "label")
    after = session.store.state()
    assert (after.labels, after.classes) == (before.labels, before.classes)


def test_a_file_that_was_moved_keeps_its_label(session):
    folder = session.gallery.folder
    Image.new("RGB", (9, 9), (1, 2, 3)).save(folder / "00003.png")
    do(session, "label", [3], name="a")
    (folder / "sub").mkdir()
    (folder / "00003.png").rename(folder / "sub" / "other.png")
    (folder / "00004.png").unlink()
    gallery = open_gallery(folder)
    assert follow(gallery, session.store) == Followed(moved=1)
    assert follow(gallery, session.store) == Followed()
    after = Session(gallery, session.store)
    labelled = np.flatnonzero(after.targets() >= 0).tolist()
    assert labelled == [gallery.at["sub/other.png"]]
    assert summary(after)["labelled"] == 1
