"""`lll discover` in the gradual benchmark: classes that lie apart are found at every stage."""

from types import SimpleNamespace

import numpy as np
import pytest
import torch
from benchmarks.accuracy.gradual_discover import grouped
from benchmarks.accuracy.gradual_score import Answers, stage_scores
from benchmarks.accuracy.novel_stages import groups_by_stage

from lll.labels.events import Replay

CLASSES, EACH = 4, 60


@pytest.fixture
def prepared():
    """Four clouds of points; two of them have labels at stage 0, a third at stage 1."""
    rng = np.random.default_rng(0)
    centres = 6 * rng.normal(size=(CLASSES, 12))
    truth = np.repeat(np.arange(CLASSES), EACH)

    def points():
        return torch.from_numpy(centres[truth] + rng.normal(size=(len(truth), 12))).float()

    train, test = points(), points()
    at = np.concatenate([np.arange(c * EACH, c * EACH + EACH // 2) for c in range(3)])
    labels = Replay(at, truth[at], np.where(truth[at] == 2, 1, 0), len(truth))
    return SimpleNamespace(
        train=SimpleNamespace(inputs=train),
        test=SimpleNamespace(inputs=test, truth=truth),
        facts=SimpleNamespace(class_names=("a", "b", "c", "d")),
        front=SimpleNamespace(last=12),
        labels=labels,
        seen=lambda rows: train[rows][None],
    )


@pytest.mark.parametrize("method", ["discover", "discover-auto"])
def test_groups_at_each_stage(prepared, method):
    truth = prepared.test.truth
    ids = np.array([f"{at}" for at in range(len(truth))])
    found = list(grouped(prepared, ids, (3, 1), 2, method))
    assert [(one.order, one.draw, one.stage) for one in found] == [(3, 1, 0), (3, 1, 1)]
    for one, known in zip(found, ([0, 1], [0, 1, 2]), strict=True):
        names = [*"abcd", *sorted(set(one.answer) - set("abcd"))]
        assert set(one.answer) & set("abcd") == {"abcd"[c] for c in known}
        of = np.array([names.index(each) for each in one.answer])
        scores = stage_scores(Answers(of, one.probability, one.unknown), truth, known, CLASSES)
        assert scores["known"] > 0.95
        assert scores["ece"] is None
        assert scores["groups"] == len(names) - CLASSES
        if method == "discover":
            assert scores["new"] > 0.95
            assert scores["groups"] == CLASSES - len(known)


def test_the_row_of_groups():
    stages = [{"stage": s, "groups": g} for s, g in [(0, 5), (1, 4), (0, 6), (1, 4)]]
    result = {"method": "m", "summary": {"all": {"stages": [None, None]}}, "stages": stages}
    assert groups_by_stage([result]).endswith("| `m` | 5.5 (5 to 6) | 4.0 (4 to 4) |")
