"""Unknown scores on clouds of which some have no label."""

import pytest
import torch
from sklearn.metrics import roc_auc_score
from tests.methods.novel.test_groups import clouds, told

from lll.methods.features.graph import neighbour_graph
from lll.methods.novel import unknown as u
from lll.methods.novel.scorer import Unknown

CLASSES = 4


def world(unknown, each=120, labels=30, seed=0, apart=5.0):
    """Points, targets, and which rows are of no known class."""
    sizes = [each] * CLASSES + [unknown] * 2
    points, truth = clouds(tuple(s for s in sizes if s), width=12, apart=apart, seed=seed)
    points = torch.nn.functional.normalize(points, dim=1)
    return points, told(truth, CLASSES, labels), truth >= CLASSES


def fitted(unknown=120, **given):
    points, targets, outside = world(unknown, **given)
    score = Unknown()
    share = score.fit(points, targets, CLASSES, seed=0)
    return score, share, points, targets, outside


SCORES = {
    "cosines": lambda k: u.mean_cosine(k.points, u.class_means(k)),
    "mahalanobis": lambda k: u.mahalanobis(k.points, *u.scatter_of(k)),
    "energy": lambda k: u.energy(k.points, u.classifier(k)),
    "slots": lambda k: u.beyond(k.points, u.spare_slots(k), k.classes),
    "other": lambda k: u.beyond(k.points, u.pool_as_other(k), k.classes),
    "mass": u.propagated_mass,
    "ranks": u.transductive_rank,
    "places": lambda k: u.places_of(k).score(k.points),
    "settled": lambda k: u.settled(k, u.places_of(k).score(k.points), 0.6).score(k.points),
    "taught": lambda k: u.beyond(k.points, u.taught(k, 0.6), k.classes),
}


@pytest.mark.parametrize("name", SCORES)
def test_every_score_is_higher_for_unknown_rows(name):
    points, targets, outside = world(120)
    known = u.Known(points, targets, CLASSES, neighbour_graph(points))
    free = targets < 0
    score = SCORES[name](known)[free]
    assert roc_auc_score(outside[free], score) > (0.8 if name == "energy" else 0.95)


def test_mahalanobis_is_that_of_numpy():
    points, targets, _ = world(60)
    means, inverse = u.scatter_of(u.Known(points, targets, CLASSES))
    slow = [min(float((p - m) @ inverse @ (p - m)) for m in means) for p in points[:20]]
    torch.testing.assert_close(u.mahalanobis(points[:20], means, inverse), torch.tensor(slow))
    shorter = u.mahalanobis(points[:20] / 3, means, inverse)
    torch.testing.assert_close(shorter, torch.tensor(slow))


def test_places_settle_where_labels_are_few_and_not_typical():
    """One label per class, each far from its centre: the pool says where the classes are."""
    points, targets, outside = world(0, each=200, labels=1, apart=3.0)
    few = u.Known(points, targets, CLASSES, neighbour_graph(points))
    alone = u.places_of(few)
    found = u.settled(few, alone.score(points), 1.0)
    others, _, outside = world(120, seed=1, apart=3.0)
    before, after = (roc_auc_score(outside, p.score(others)) for p in (alone, found))
    assert after > before + 0.02


@pytest.mark.parametrize("unknown", [120, 0], ids=["a pool with unknown rows", "without"])
def test_the_threshold_parts_known_from_unknown_rows_it_never_saw(unknown):
    score, share, *_ = fitted(unknown)
    others, _, outside = world(120, seed=1)
    told_unknown = score(others) >= 0.5
    assert (share > 0.9) == (unknown == 0)
    caught, alarms = (float(told_unknown[side].float().mean()) for side in (outside, ~outside))
    assert caught > 0.7
    assert alarms < 0.4
    assert caught - alarms > 0.5


def test_what_is_saved_answers_the_same_and_predicting_changes_nothing():
    score, _, points, *_ = fitted()
    again = Unknown()
    again.load_state_dict(score.state_dict())
    before = {name: value.clone() for name, value in again.state_dict().items()}
    answer = again(points)
    torch.testing.assert_close(answer, score(points))
    assert bool(((answer >= 0) & (answer <= 1)).all())
    assert all(torch.equal(value, before[name]) for name, value in again.state_dict().items())


def test_a_run_of_an_earlier_version_has_none():
    score = Unknown()
    score.load_state_dict({})
    assert not score.fitted


def test_two_classes_with_one_label_each_are_enough():
    points, targets, _ = world(0)
    first = [int(torch.nonzero(targets == c)[0, 0]) for c in range(2)]
    few = torch.full_like(targets, -1)
    few[first] = torch.arange(2)
    score = Unknown()
    score.fit(points, few, 2, seed=0)
    assert bool(torch.isfinite(score(points)).all())


def scene(each=60, seed=0):
    """Directions of 3 known and 2 unknown classes among 12 classes of an encoder, and those."""
    generator = torch.Generator().manual_seed(seed)
    others = torch.nn.functional.normalize(torch.randn(12, 16, generator=generator), dim=1)
    truth = torch.arange(5).repeat_interleave(each)
    noise = torch.randn(len(truth), 16, generator=generator)
    return torch.nn.functional.normalize(others[truth] + 0.25 * noise, dim=1), others, truth


def test_foreign_is_what_its_words_say():
    rows, others, _ = scene(each=2)
    means = torch.nn.functional.normalize(others[:3] + 0.1, dim=1)
    slow = []
    for x in rows:
        away = sorted(float(x @ o) - max(float(m @ o) for m in means) for o in others)[::-1]
        slow.append(
            sum(away[: u.OTHERS]) / len(away[: u.OTHERS]) - max(float(x @ m) for m in means)
        )
    torch.testing.assert_close(u.foreign(rows, means, others), torch.tensor(slow))


def test_the_encoders_own_classes_tell_unknown_images_that_no_pool_has_shown():
    """By their points the unknown classes are known ones: only the scene tells them apart."""
    rows, others, truth = scene(each=120)
    points, _ = clouds((120, 120, 120), width=12, apart=5.0, seed=1)
    points = torch.nn.functional.normalize(torch.cat([points, points[:240]]), dim=1)
    looks, outside = torch.cat([points, rows], dim=1), truth >= 3
    targets = told(truth, 3, 30)
    there = ~outside
    score, blind = Unknown(), Unknown()
    score.fit(looks[there], targets[there], 3, 0, others)
    blind.fit(points[there], targets[there], 3, 0)
    assert roc_auc_score(outside, score(looks)) > 0.8
    assert 0.3 < roc_auc_score(outside, blind(points)) < 0.7
    again = Unknown()
    again.load_state_dict(score.state_dict())
    torch.testing.assert_close(again(looks), score(looks))


def test_a_scene_in_which_all_images_are_alike_counts_for_nothing():
    rows, others, _ = scene()
    alike = torch.nn.functional.normalize(rows + 4 * others[7], dim=1)
    assert u.telling(alike) == 0.0
    assert u.telling(rows) == 1.0
    points, targets, _ = world(120)
    score, blind = Unknown(), Unknown()
    looks = torch.cat([points, alike.repeat(4, 1)[: len(points)]], dim=1)
    score.fit(looks, targets, CLASSES, 0, others)
    blind.fit(points, targets, CLASSES, 0)
    torch.testing.assert_close(score(looks), blind(points))
