"""The space of features, whatever images there are."""

import pytest
import torch
from tests.methods.mixtures import fitted, hide, mixture

from lll.methods import METHODS
from lll.methods.features import space
from lll.methods.features.space import Transform, fit_space
from lll.nets.encoders.encoder import AXES, Pretraining


@pytest.mark.parametrize("seed", range(1, 6))
@pytest.mark.parametrize(("count", "different"), [(20, 3), (30, 14), (40, 7), (2, 1)])
def test_few_different_images(seed, count, different):
    """Copies of a few images, as a burst of photos is: nearly all eigenvalues are 0."""
    generator = torch.Generator().manual_seed(seed)
    base = torch.rand(2, 1280, generator=generator) ** 4
    noise = 1 + 0.02 * torch.randn(different, 1280, generator=generator)
    features = base[torch.arange(different) % 2] * noise
    features = features.where(features > 0.1, 0)[torch.arange(count) % different].half()
    points = fit_space(features, features[None]).points
    assert torch.isfinite(points).all()
    same = points[:different].repeat(count // different + 1, 1)[:count]
    torch.testing.assert_close(points, same)


def test_what_lies_near_is_said_by_the_last_layer_alone():
    generator = torch.Generator().manual_seed(0)
    features = torch.rand(60, 300, generator=generator)
    other = features.clone()
    other[:, 200:] = torch.rand(60, 100, generator=generator)
    alone = fit_space(features[:, :200], features[None, :, :200])
    one, two = (fit_space(rows, rows[None], 200) for rows in (features, other))
    assert torch.equal(one.near, alone.points) and torch.equal(two.near, alone.points)
    assert (one.graph != two.graph).nnz == 0
    assert torch.equal(one.points, fit_space(features, features[None]).points)
    assert not torch.allclose(one.points, two.points)
    torch.testing.assert_close(one.of(features[:7]).points, one.points[:7])


def test_classifier_and_unknown_score_see_each_what_is_theirs():
    """More features beside those of the last layer move the classes, not what is unknown."""
    features, truth = mixture([80] * 4, apart=4.0)
    last = features.shape[1]
    targets = hide(truth, 6)
    noise = torch.rand(len(features), 30, generator=torch.Generator().manual_seed(1))
    wider = torch.cat([features, 5 * noise], dim=1)
    told = {}
    for name, rows, of in (("alone", features, None), ("wider", wider, last)):
        nets, _ = fitted("logistic", rows, targets, 4, last=of)
        encodings, logits = METHODS["logistic"].answers(nets, rows)
        told[name] = nets["unknown"].of(encodings, logits.softmax(dim=1)), logits
    torch.testing.assert_close(told["wider"][0], told["alone"][0])
    assert (told["wider"][1] - told["alone"][1]).abs().max() > 0.01


def test_the_scene_is_that_of_the_encoder_whatever_the_images():
    """Same axes for other images, none without pretraining, and what is near does not change."""
    generator = torch.Generator().manual_seed(0)
    features = torch.rand(60, 300, generator=generator)
    own = Pretraining(torch.rand(200, generator=generator), torch.randn(90, 200))
    plain, one = (fit_space(features, features[None], 200, told) for told in (None, own))
    two = fit_space(features[:30], features[None, :30], 200, own)
    assert torch.equal(one.near, plain.near) and torch.equal(one.points, plain.points)
    assert plain.looks.shape == plain.near.shape
    assert one.looks.shape[1] == one.near.shape[1] + AXES
    assert torch.equal(one.transform.scene.basis, two.transform.scene.basis)
    _, _, axes = torch.linalg.svd(own.classes, full_matrices=False)  # the slow way
    slow = own.classes @ axes[:AXES].T
    cosines = torch.nn.functional.normalize(slow, dim=1)
    found = one.transform.others
    torch.testing.assert_close(found @ found.T, cosines @ cosines.T, atol=1e-3, rtol=1e-3)
    again = Transform(300, 200)
    again.load_state_dict(one.transform.state_dict())
    torch.testing.assert_close(again(features), one.encodings)
    old = {k: v for k, v in plain.transform.state_dict().items() if not k.startswith(("sc", "ot"))}
    earlier = Transform(300, 200)
    earlier.load_state_dict(old)
    torch.testing.assert_close(earlier(features), plain.encodings)


@pytest.mark.parametrize("count", [2, 60, 400])
def test_axes_are_the_first_of_all_eigenvectors(count):
    """Slow twin: the whole spectrum, then a part of it."""
    rows = torch.randn(count, 300, generator=torch.Generator().manual_seed(count))
    rows = (rows - rows.mean(dim=0)) * torch.linspace(3, 1, 300)
    slow = torch.linalg.eigh((rows.T @ rows).double()).eigenvectors.flip(1).float()
    for width in (100, 512):
        axes = space.components(rows, width)
        spanned = min(count - 1, 300, width)
        same = (axes * slow[:, :spanned]).sum(dim=0).abs()
        torch.testing.assert_close(same, torch.ones(spanned), rtol=0, atol=1e-4)
        torch.testing.assert_close(axes.T @ axes, torch.eye(spanned), rtol=0, atol=1e-5)


def test_equal_rows_have_one_axis_and_no_place_on_it():
    axes = space.components(torch.zeros(5, 8), 4)
    assert axes.shape == (8, 1) and axes.isfinite().all()
    same = fit_space(torch.ones(5, 8), torch.ones(2, 5, 8))
    assert same.points.shape == (5, 8) and not same.points.any()


def test_the_more_images_the_less_counts_what_views_differ_in():
    generator = torch.Generator().manual_seed(0)
    features = torch.randn(60, 20, generator=generator)
    shift = torch.zeros(60, 20)
    shift[:, 0] = torch.randn(60, generator=generator)
    shares = []
    for often in (1, 10, 100):
        some = features.repeat(often, 1)
        views = torch.stack([some, (features + shift).repeat(often, 1)])
        basis = fit_space(some, views).transform.near.basis
        shares.append(float(basis[0].norm() / basis.norm()))
    assert shares[0] > 1.2 * shares[1] > 1.4 * shares[2]


def test_what_lies_beyond_the_axes_of_few_images_makes_a_point_shorter():
    """Slow twin: the length by all axes there are, of a space that views do not change."""
    features = torch.randn(8, 30, generator=torch.Generator().manual_seed(0))
    new = torch.randn(5, 30, generator=torch.Generator().manual_seed(1))
    made = fit_space(features, features[None])
    part = made.transform.near
    torch.testing.assert_close(made.near.norm(dim=1), torch.ones(8))
    centred = space.direction(new, part.power) - part.mean
    points = made.of(new).near
    wanted = (centred @ part.basis).norm(dim=1) / centred.norm(dim=1)
    torch.testing.assert_close(points.norm(dim=1), wanted)
    assert (wanted < 0.9).all()
    many = torch.randn(600, 30, generator=torch.Generator().manual_seed(2))
    lengths = fit_space(many, many[None]).of(new).near.norm(dim=1)
    torch.testing.assert_close(lengths, torch.ones(5))  # many images span all
    before = {k: v for k, v in made.transform.state_dict().items() if not k.endswith("reach")}
    earlier = Transform(30)
    earlier.load_state_dict(before)
    torch.testing.assert_close(earlier(new).norm(dim=1), torch.ones(5))
