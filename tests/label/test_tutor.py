"""The model follows the answers: at once, and better in a pause."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from tests.label.inside import inside
from tests.label.serving import link_images

from lll.label.model import Choice
from lll.label.tutor import Lesson, Tutor
from lll.methods.features.space import fit_space

N, SLOW = 60, 3600.0


def never():
    return False


@pytest.fixture
def session(tmp_path, monkeypatch):
    monkeypatch.setattr("lll.label.tutor.QUICK_S", SLOW)  # however busy this machine is
    with inside(link_images(tmp_path / "photos", N)) as page:
        for name in ("a", "b", "c"):
            page.act("class", name=name)
        yield page.session


@pytest.fixture(scope="module")
def space():
    rng = np.random.default_rng(0)
    truth = np.arange(N) % 3
    features = torch.from_numpy(rng.random((3, 32))[truth] * 3 + rng.random((N, 32))).float()
    space = fit_space(features, features[None])
    assert space.graph.shape == (N, N)
    return space


def lesson(space, labels, woven=True):
    """The first ``labels`` images are labelled, in turn."""
    targets = np.where(np.arange(N) < labels, np.arange(N) % 3, -1)
    if not woven:
        space = replace(space)
    return Lesson(space, np.arange(N), targets, (0, 1, 2))


def test_an_answer_is_learned_from_at_once_and_once(session, space):
    tutor = Tutor(session)
    assert tutor.teach(lesson(space, 6))
    assert (session.guess.learner, session.guess.labels) == ("propagate", 6)
    assert not tutor.teach(lesson(space, 6))
    assert tutor.teach(lesson(space, 7))
    assert session.guess.name == "propagate-7-2"
    assert [session.guess.ranked(i)[0][0] for i in range(N)] == [i % 3 for i in range(N)]


def test_labels_of_one_class_make_no_model(session, space):
    tutor = Tutor(session)
    tutor.teach(lesson(space, 6))
    assert tutor.teach(lesson(space, 1))
    assert session.guess is None
    tutor.ponder(lesson(space, 1), never)
    assert session.guess is None


def test_without_a_graph_logistic_regression_stands_in(session, space):
    tutor = Tutor(session)
    tutor.teach(lesson(space, 6, woven=False))
    assert session.guess.learner == "logistic"
    tutor.ponder(lesson(space, 6, woven=False), never)
    assert session.guess.learner == "logistic"
    assert tutor.teach(lesson(space, 6)), "the graph is something new"
    assert session.guess.learner == "propagate"


def test_a_slow_learner_waits_for_a_pause(session, space):
    tutor = Tutor(session, seconds=SLOW + 1)
    tutor.teach(lesson(space, 2))
    assert session.guess.learner == "logistic", "there was none"
    tutor.ponder(lesson(space, 2), never)
    pondered = session.guess
    assert (pondered.learner, pondered.labels) == ("propagate", 2)
    tutor.seconds = SLOW + 1
    tutor.teach(lesson(space, 6))
    assert session.guess.learner == "logistic", "a class is new"
    tutor.ponder(lesson(space, 6), never)
    tutor.seconds = SLOW + 1
    before = session.guess
    tutor.teach(lesson(space, 9))
    assert session.guess is before, "the better model stays until there is time"


def test_a_pause_that_ends_leaves_what_was_there(session, space):
    tutor = Tutor(session)
    tutor.teach(lesson(space, 9))
    before = session.guess
    tutor.ponder(lesson(space, 9), lambda: True)
    assert session.guess is before
    assert tutor.judged is None
    tutor.ponder(lesson(space, 9), never)
    assert session.guess is not before
    assert tutor.judged == lesson(space, 9).key


@pytest.mark.parametrize("learner", ["logistic", "kernel", "propagate"])
def test_the_learner_of_the_last_judgement_follows_each_answer(session, space, learner):
    tutor = Tutor(session, Choice(learner, 3.0, 0.1))
    assert tutor.teach(lesson(space, 9))
    assert (session.guess.learner, session.guess.labels) == (learner, 9)
    tutor.ponder(lesson(space, 9), never)
    assert tutor.choice.learner == session.guess.learner
    assert tutor.choice.scale != 3.0, "labels held out say how sure it is"


def test_a_judgement_that_an_answer_overtakes_is_kept_for_the_next_one(session, space):
    """It is over, but its model is not shown: the answer's own comes first."""
    asked = []
    tutor = Tutor(session)
    tutor.ponder(lesson(space, 9), lambda: bool(asked.append(0)))
    fresh, count = Tutor(session), iter(range(len(asked)))
    fresh.teach(lesson(space, 9))
    before = session.guess
    # The last time that it asks is after the learning curve.
    fresh.ponder(lesson(space, 9), lambda: next(count) == len(asked) - 2)
    assert session.guess is before
    assert fresh.choice == tutor.choice
    assert fresh.judged is None


def test_the_learning_curve_comes_with_enough_labels(session, space):
    tutor = Tutor(session)
    tutor.ponder(lesson(space, 39), never)
    assert session.curve is None
    tutor.ponder(lesson(space, 48), never)
    assert session.curve.accuracy[2] == 1
    assert session.curve.limited_by == "model"


def test_photos_that_came_while_it_was_fitted_are_not_guessed(session, space):
    tutor = Tutor(session)
    grown = [*session.gallery.photos, session.gallery.photos[0]]
    session.gallery = replace(session.gallery, photos=tuple(grown))
    tutor.teach(lesson(space, 6))
    assert len(session.guess.known) == N + 1
    assert session.guess.ranked(N) == []
