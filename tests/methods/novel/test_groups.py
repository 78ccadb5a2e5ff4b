"""Semi-supervised k-means, on clouds whose groups are known."""

import pytest
import torch

from lll.methods.novel.groups import group, purity
from lll.methods.novel.number import estimate_number, known_share_of


def clouds(sizes, width=8, apart=6.0, seed=0):
    """Points [n, width] in clouds of these ``sizes``, and the cloud of each."""
    generator = torch.Generator().manual_seed(seed)
    centres = apart * torch.eye(width)[: len(sizes)]
    truth = torch.repeat_interleave(torch.arange(len(sizes)), torch.tensor(sizes))
    return centres[truth] + torch.randn(len(truth), width, generator=generator), truth


def told(truth, classes, each):
    """The first ``each`` labels of the first ``classes`` classes."""
    targets = torch.full_like(truth, -1)
    for c in range(classes):
        at = torch.nonzero(truth == c)[:each, 0]
        targets[at] = c
    return targets


def grouped(points, targets, classes, new, seed):
    share = known_share_of(points, targets, classes, new, seed)
    return group(points, targets, classes, new, share, seed)


@pytest.mark.parametrize("sizes", [(80, 80, 80, 80), (200, 100, 20, 40)], ids=["even", "tail"])
def test_new_clouds_are_found_whatever_their_sizes(sizes):
    points, truth = clouds(sizes)
    targets = told(truth, 2, 10)
    found = grouped(points, targets, 2, 2, seed=0)
    known = truth < 2
    assert (found.of[known] == truth[known]).float().mean() > 0.97
    new = found.of[~known]
    second = (new == new[0]) == (truth[~known] == truth[~known][0])
    assert second.float().mean() > 0.97
    assert (found.of[targets >= 0] == targets[targets >= 0]).all()
    assert purity(points, found.of, torch.arange(len(points))).mean() > 0.95


def test_other_points_are_placed_as_those_that_were_grouped():
    points, truth = clouds((60, 60, 60))
    targets = told(truth, 2, 20)
    found = grouped(points, targets, 2, 1, seed=0)
    free = targets < 0
    of, distance = found.placed(points[free])
    assert (of == found.of[free]).float().mean() > 0.97
    same = of == found.of[free]
    torch.testing.assert_close(distance[same], found.distance[free][same], rtol=1e-3, atol=1e-3)
    assert found.distance[targets >= 0].square().mean() == pytest.approx(1, abs=0.2)


def test_the_same_seed_gives_the_same_groups():
    points, truth = clouds((50, 50, 50, 50))
    one, other = (grouped(points, told(truth, 2, 10), 2, 2, seed=3) for _ in range(2))
    assert torch.equal(one.of, other.of)


def test_no_new_class_is_the_nearest_known_one():
    points, truth = clouds((50, 50))
    found = grouped(points, told(truth, 2, 5), 2, 0, seed=0)
    assert (found.of == truth).float().mean() > 0.97


@pytest.mark.parametrize(("sizes", "new"), [((900, 900), 0), ((900, 900, 900, 900), 2)])
def test_the_number_of_new_classes_of_the_same_size(sizes, new):
    points, truth = clouds(sizes)
    number = estimate_number(points, told(truth, 2, 450), 2, seed=0)
    assert number.new == new
    assert number.low <= new <= number.high
    assert number.size == pytest.approx(900, rel=0.1)


@pytest.mark.parametrize("new", [0, 2])
@pytest.mark.parametrize("shares", [(0.95, 0.1), (0.5, 0.05)], ids=["one nearly whole", "one few"])
def test_the_number_of_new_classes_where_labels_are_uneven(shares, new):
    points, truth = clouds((900,) * (2 + new))
    targets = torch.full_like(truth, -1)
    for c, share in enumerate(shares):
        targets[torch.nonzero(truth == c)[: int(share * 900), 0]] = c
    number = estimate_number(points, targets, 2, seed=0)
    assert abs(number.new - new) <= 1
    assert number.low <= new <= number.high
    assert number.size == pytest.approx(900, rel=0.15)


def test_known_classes_keep_their_images_where_far_too_many_new_ones_are_asked_for():
    points, truth = clouds((150, 150, 150, 150))
    targets = told(truth, 2, 10)
    found = grouped(points, targets, 2, 20, seed=0)
    known = (truth < 2) & (targets < 0)
    assert (found.of[known] == truth[known]).float().mean() > 0.45


def test_a_class_of_one_label_is_in_no_half_or_in_one():
    points, truth = clouds((300, 300, 300))
    targets = told(truth, 2, 40)
    targets[targets == 1] = -1
    targets[torch.nonzero(truth == 1)[:1, 0]] = 1
    assert 0 <= estimate_number(points, targets, 2, seed=0).known_share <= 1
