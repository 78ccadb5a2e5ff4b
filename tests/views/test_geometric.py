import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats
from tests.reference.slow_views import slow_views

from lll.views.geometric import Strength, Views, apply_views, draw_views, unit_floats

light = settings(deadline=None, max_examples=40)

STRONG = Strength(min_area=0.25, brightness=0.6, jitter=0.2)
WEAK = Strength(min_area=0.75, brightness=0.3, jitter=0.1)
both = pytest.mark.parametrize("strength", [STRONG, WEAK], ids=["strong", "weak"])

DRAWS = 20_000


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


def random_images(n, height, width, seed=0):
    return torch.randint(
        0, 256, (n, 3, height, width), dtype=torch.uint8, generator=generator(seed)
    )


def random_views(images, strength, generator):
    return apply_views(images, draw_views(len(images), strength, generator))


def views(n=1, mirror=1.0, shift=(0.0, 0.0), zoom=(1.0, 1.0), colour=None):
    """The same view for each of ``n`` images; the identity unless told otherwise."""
    colour = torch.eye(3) if colour is None else colour
    return Views(
        torch.full((n,), mirror),
        torch.tensor([shift] * n),
        torch.tensor([zoom] * n),
        colour.expand(n, 3, 3).clone(),
    )


def assert_equals_twin(images, drawn):
    parts = (drawn.mirror, drawn.shift, drawn.zoom, drawn.colour)
    twin = slow_views(images.numpy(), *(part.double().numpy() for part in parts))
    np.testing.assert_allclose(apply_views(images, drawn).numpy(), twin, atol=1e-5, rtol=0)


# The fast views and the slow ones are the same.


@both
@pytest.mark.parametrize(("n", "height", "width"), [(5, 6, 6), (3, 9, 4), (3, 3, 11), (1, 8, 7)])
def test_views_equal_twin(strength, n, height, width):
    assert_equals_twin(random_images(n, height, width), draw_views(n, strength, generator(n)))


@given(
    n=st.integers(1, 3),
    height=st.integers(1, 7),
    width=st.integers(1, 7),
    seed=st.integers(0, 2**32),
    min_area=st.floats(0.01, 1),
)
@light
def test_views_equal_twin_for_any_size_and_zoom(n, height, width, seed, min_area):
    strength = Strength(min_area, 0.6, 0.2)
    assert_equals_twin(
        random_images(n, height, width, seed), draw_views(n, strength, generator(seed))
    )


@pytest.mark.parametrize("mirror", [1.0, -1.0])
@pytest.mark.parametrize("zoom", [(0.5, 0.5), (1.0, 1.0), (0.5, 1.0)])
@pytest.mark.parametrize("shift", [(0.25, 0.25), (-0.25, 0.25), (0.25, -0.25), (-0.25, -0.25)])
def test_extreme_views_equal_twin(mirror, zoom, shift):
    assert_equals_twin(random_images(2, 8, 5), views(2, mirror, shift, zoom))


def test_extreme_colours_equal_twin():
    dark = torch.eye(3) * 0.4 - 0.2
    bright = torch.eye(3) * 1.6 + 0.2
    tinted = torch.tensor([[1.8, 0.2, -0.2], [-0.2, 0.2, 0.1], [0.0, -0.1, 1.0]])
    for colour in (dark, bright, tinted):
        assert_equals_twin(random_images(1, 6, 6), views(colour=colour))


# What a view is, by hand: one row or column of grey pixels.

a, b, c, d = 10, 50, 110, 250


def shown(row, **view):
    """The view of one row of grey pixels, in 1/255."""
    image = torch.tensor(row, dtype=torch.uint8).expand(1, 3, 1, len(row)).clone()
    out = apply_views(image, views(**view)) * 255
    assert (out[:, 0] == out[:, 1]).all() and (out[:, 0] == out[:, 2]).all()
    return out[0, 0, 0].tolist()


@pytest.mark.parametrize(
    ("view", "expected"),
    [
        ({}, [a, b, c, d]),
        ({"mirror": -1.0}, [d, c, b, a]),
        ({"shift": (0.0, 0.25)}, [a, a, b, c]),
        ({"shift": (0.0, 0.5)}, [b, a, a, b]),
        ({"shift": (0.0, -0.25)}, [b, c, d, d]),
        ({"shift": (0.0, 0.125)}, [a, (a + b) / 2, (b + c) / 2, (c + d) / 2]),
        # the middle half, in quarter steps: pixels 0.75, 1.25, 1.75, 2.25
        (
            {"zoom": (1.0, 0.5)},
            [a / 4 + 3 * b / 4, 3 * b / 4 + c / 4, b / 4 + 3 * c / 4, 3 * c / 4 + d / 4],
        ),
        # mirrored first, then moved: d c b a, then d d c b
        ({"mirror": -1.0, "shift": (0.0, 0.25)}, [d, d, c, b]),
        # moved first, then zoomed into: a a b c, of which the middle half is shown
        (
            {"shift": (0.0, 0.25), "zoom": (1.0, 0.5)},
            [a, 3 * a / 4 + b / 4, a / 4 + 3 * b / 4, 3 * b / 4 + c / 4],
        ),
    ],
)
def test_views_by_hand(view, expected):
    assert shown([a, b, c, d], **view) == pytest.approx(expected, abs=1e-3)


def test_rows_are_moved_and_zoomed_by_the_first_number_and_never_mirrored():
    column = torch.tensor([a, b, c, d], dtype=torch.uint8).view(1, 1, 4, 1).expand(1, 3, 4, 1)
    out = apply_views(column, views(mirror=-1.0, shift=(0.25, 0.0)))
    assert (out[0, 0, :, 0] * 255).tolist() == pytest.approx([a, a, b, c], abs=1e-3)
    out = apply_views(column, views(zoom=(0.5, 1.0)))
    assert (out[0, 0, :, 0] * 255)[0].item() == pytest.approx(a / 4 + 3 * b / 4, abs=1e-3)


def test_colour_is_a_row_vector_times_the_matrix():
    colour = torch.tensor([[1.0, 0.5, 0.0], [0.0, 1.0, 0.0], [0.0, 0.0, 2.0]])
    image = torch.tensor([51, 102, 204], dtype=torch.uint8).view(1, 3, 1, 1)
    out = apply_views(image, views(colour=colour)).flatten().tolist()
    assert out == pytest.approx([0.2, 0.4 + 0.5 * 0.2, 1.0])


# Every image has its own draw: found again from the output alone.

SIDE = 52  # pixels; levels of 5/255 a pixel make a ramp that is exact in uint8


def profile(channel):
    """Where each pixel of a row [SIDE] of a ramp comes from, in pixels from the middle."""
    return channel * 255 / 5 - (SIDE - 1) / 2


def fit(origins):
    """The line ``slope * pixel + offset`` that most ``origins`` [SIDE] lie on.

    Pixels that were reflected at the border lie on another line, of opposite slope; they are
    at most a quarter.
    """
    slope = np.median(np.diff(origins))
    offsets = origins - slope * (np.arange(SIDE) - (SIDE - 1) / 2)
    offset = np.median(offsets)
    assert np.mean(np.abs(offsets - offset) < 1e-2) > 0.7
    return slope, offset


@pytest.fixture(scope="module")
def recovered():
    """Mirror, shift (down, right) and zoom (down, right) of 64 views of one ramp [64, 5]."""
    ramp = 5 * np.arange(SIDE, dtype=np.uint8)
    image = np.stack(
        [
            np.broadcast_to(ramp, (SIDE, SIDE)),  # red grows to the right
            np.broadcast_to(ramp[:, None], (SIDE, SIDE)),  # green grows downwards
            np.full((SIDE, SIDE), 128, np.uint8),
        ]
    )
    images = torch.from_numpy(np.repeat(image[None], 64, axis=0))
    out = random_views(images, Strength(0.25, 0.0, 0.0), generator()).double().numpy()
    np.testing.assert_allclose(out[:, 2], 128 / 255, atol=1e-6)
    np.testing.assert_allclose(out[:, 0], out[:, 0, :1].repeat(SIDE, 1), atol=1e-5)
    np.testing.assert_allclose(out[:, 1], out[:, 1, :, :1].repeat(SIDE, 2), atol=1e-5)
    rows = []
    for view in out:
        across, right = fit(profile(view[0, 0]))
        along, down = fit(profile(view[1, :, 0]))
        assert along > 0  # never upside down
        mirror = math.copysign(1, across)
        rows.append([mirror, -down / SIDE, -right * mirror / SIDE, along, abs(across)])
    return np.array(rows)


def test_recovered_draws_are_in_range_and_all_differ(recovered):
    mirror, shift, zoom = recovered[:, 0], recovered[:, 1:3], recovered[:, 3:5]
    assert 15 < (mirror == -1).sum() < 49
    assert (np.abs(shift) < 0.25 + 1e-3).all()
    assert (zoom > 0.5 - 1e-3).all() and (zoom < 1 + 1e-3).all()
    # Every number of every image is its own, down against right included.
    for column in recovered[:, 1:].T:
        assert len(np.unique(column.round(4))) > 60
    assert (np.abs(zoom[:, 0] - zoom[:, 1]) > 1e-3).mean() > 0.9
    assert (np.abs(shift[:, 0] - shift[:, 1]) > 1e-3).mean() > 0.9
    # And they fill the range.
    assert np.ptp(shift) > 0.45 and np.ptp(zoom) > 0.45


def test_recovered_draws_are_those_drawn(recovered):
    drawn = draw_views(64, Strength(0.25, 0.0, 0.0), generator())
    expected = torch.cat([drawn.mirror[:, None], drawn.shift, drawn.zoom], dim=1)
    np.testing.assert_allclose(recovered, expected.numpy(), atol=2e-3)


def colour_matrices(strength, n=64):
    """The colour matrix of each of ``n`` views [n, 3, 3], solved from their pixels.

    Every pixel of the one-row image has a colour of its own and stays where it is. Colours in
    which one channel leads keep that channel strictly between 0 and 1 for any draw, so that
    nothing is clipped where the matrix is solved for; the rest check the clipping.
    """
    leading = np.array([[100, 25, 25], [100, 0, 25], [100, 25, 0], [60, 0, 0]], np.uint8)
    colours = np.concatenate(
        [
            *[np.roll(leading, channel, axis=1) for channel in range(3)],
            np.random.default_rng(0).integers(0, 256, (40, 3), dtype=np.uint8),
        ]
    )
    images = torch.from_numpy(np.repeat(colours.T[None, :, None, :], n, axis=0))
    still = Strength(1.0, strength.brightness, strength.jitter, flip=0.0)
    out = random_views(images, still, generator(1)).double().numpy()[:, :, 0]
    rgb = colours / 255
    matrices = np.zeros((n, 3, 3))
    clipped = 0
    for i, view in enumerate(out):
        for channel in range(3):
            own = slice(4 * channel, 4 * channel + 4)
            assert (view[channel, own] > 0).all() and (view[channel, own] < 1).all()
            matrices[i, :, channel] = np.linalg.lstsq(rgb[own], view[channel, own])[0]
        mixed = rgb @ matrices[i]
        np.testing.assert_allclose(view.T, np.clip(mixed, 0, 1), atol=1e-4)
        clipped += ((mixed < 0) | (mixed > 1)).sum()
    assert clipped
    return matrices


@both
def test_recovered_colours(strength):
    matrices = colour_matrices(strength)
    B, J = strength.brightness, strength.jitter
    diagonal = np.diagonal(matrices, axis1=1, axis2=2)
    mixing = matrices[:, ~np.eye(3, dtype=bool)]
    slack = 1e-4
    assert (np.abs(mixing) < J + slack).all() and np.ptp(mixing) > 1.9 * J
    assert (np.abs(diagonal - 1) < B + J + slack).all()
    # One brightness for the three channels: what differs between them is jitter.
    assert (np.ptp(diagonal, axis=1) < 2 * J + slack).all()
    assert np.ptp(diagonal.mean(axis=1)) > 1.5 * B
    # Nine numbers for each image, no two alike.
    flat = matrices.reshape(len(matrices), 9).round(4)
    assert all(len(np.unique(image)) >= 8 for image in flat)
    assert all(len(np.unique(entry)) > 55 for entry in flat.T)


def test_brightness_alone_scales_all_channels_alike():
    matrices = colour_matrices(Strength(1.0, 0.6, 0.0))
    scale = matrices[:, 0, 0]
    np.testing.assert_allclose(matrices, scale[:, None, None] * np.eye(3), atol=1e-4)
    assert scale.min() < 0.5 and scale.max() > 1.5


# The draws are uniform over the ranges of the spec.


def uniform(values, low, high):
    """That ``values`` lie in [low, high], reach both ends and are uniform between them."""
    values = np.ravel(values)
    reach = 1e-6 + 1e-3 * (high - low)
    assert low - 1e-6 <= values.min() <= low + reach
    assert high - reach <= values.max() <= high + 1e-6
    assert stats.kstest(values, stats.uniform(low, high - low).cdf).pvalue > 1e-3


@pytest.mark.parametrize(
    ("min_area", "zoom"), [(0.25, 0.5), (0.75, 0.1339745962), (1.0, 0.0), (0.01, 0.9)]
)
def test_zoom_is_one_minus_the_root_of_the_area(min_area, zoom):
    assert Strength(min_area, 0.0, 0.0).zoom == pytest.approx(zoom)


@pytest.mark.parametrize(
    ("strength", "z", "brightness", "jitter"),
    [(STRONG, 0.5, 0.6, 0.2), (WEAK, 1 - math.sqrt(0.75), 0.3, 0.1)],
    ids=["strong", "weak"],
)
def test_draws_cover_the_ranges(strength, z, brightness, jitter):
    drawn = draw_views(DRAWS, strength, generator())
    for axis in range(2):
        uniform(drawn.shift[:, axis], -z / 2, z / 2)
        uniform(drawn.zoom[:, axis], 1 - z, 1)
    for k in range(3):
        for channel in range(3):
            if k != channel:
                uniform(drawn.colour[:, k, channel], -jitter, jitter)
    # On the diagonal lie 1 + b + J[k, k]: one b for all three, a J for each.
    diagonal = drawn.colour.diagonal(dim1=1, dim2=2).double().numpy()
    assert np.abs(diagonal - 1).max() <= brightness + jitter + 1e-6
    np.testing.assert_allclose(diagonal.mean(axis=0), 1, atol=0.02)
    expected = np.full((3, 3), brightness**2 / 3) + np.eye(3) * jitter**2 / 3
    np.testing.assert_allclose(np.cov(diagonal.T), expected, rtol=0.04)


def test_brightness_and_jitter_are_uniform():
    brightness = draw_views(DRAWS, Strength(1.0, 0.6, 0.0), generator()).colour
    uniform(brightness[:, 0, 0], 0.4, 1.6)
    jitter = draw_views(DRAWS, Strength(1.0, 0.0, 0.2), generator()).colour
    for channel in range(3):
        uniform(jitter[:, channel, channel], 0.8, 1.2)


@pytest.mark.parametrize("flip", [0.0, 0.2, 0.5, 1.0])
def test_share_of_mirrored_images(flip):
    mirror = draw_views(DRAWS, Strength(0.25, 0.6, 0.2, flip), generator()).mirror
    assert {*mirror.tolist()} <= {-1.0, 1.0}
    four_sigma = 4 * math.sqrt(flip * (1 - flip) / DRAWS)
    assert abs((mirror == -1).float().mean().item() - flip) <= four_sigma


def test_half_of_the_images_are_mirrored_by_default():
    assert STRONG.flip == 0.5


def test_the_numbers_of_a_view_are_independent():
    drawn = draw_views(DRAWS, STRONG, generator())
    off_diagonal = drawn.colour[:, ~torch.eye(3, dtype=torch.bool)]
    numbers = torch.cat(
        [drawn.mirror[:, None], drawn.shift, drawn.zoom, drawn.colour[:, :1, 0], off_diagonal], 1
    )
    correlation = np.corrcoef(numbers.numpy().T) - np.eye(numbers.shape[1])
    assert np.abs(correlation).max() < 5 / math.sqrt(DRAWS)


@both
@pytest.mark.parametrize("n", [0, 1, 7])
def test_shapes_of_a_draw(strength, n):
    drawn = draw_views(n, strength, generator())
    shapes = [tuple(x.shape) for x in (drawn.mirror, drawn.shift, drawn.zoom, drawn.colour)]
    assert shapes == [(n,), (n, 2), (n, 2), (n, 3, 3)]


# What holds for any view.


@both
@given(
    n=st.integers(1, 4),
    height=st.integers(1, 9),
    width=st.integers(1, 9),
    seed=st.integers(0, 2**32),
)
@light
def test_views_are_unit_floats_channels_last(strength, n, height, width, seed):
    images = random_images(n, height, width, seed)
    before = images.clone()
    out = random_views(images, strength, generator(seed))
    assert out.shape == images.shape and out.dtype == torch.float32
    assert ((out >= 0) & (out <= 1)).all()
    assert out.is_contiguous(memory_format=torch.channels_last)
    assert images.dtype == torch.uint8 and (images == before).all()


def test_the_layout_in_memory_does_not_change_the_views():
    images = random_images(4, 8, 6)
    last = images.permute(0, 2, 3, 1).contiguous().permute(0, 3, 1, 2)
    drawn = draw_views(4, STRONG, generator())
    torch.testing.assert_close(
        apply_views(images, drawn), apply_views(last, drawn), rtol=0, atol=1e-6
    )


def test_the_generator_alone_decides():
    images = random_images(6, 8, 8)
    torch.manual_seed(1)
    state = torch.get_rng_state()
    first = random_views(images, STRONG, generator(3))
    assert (torch.get_rng_state() == state).all()
    torch.manual_seed(2)
    assert (random_views(images, STRONG, generator(3)) == first).all()
    assert (random_views(images, STRONG, generator(4)) != first).any()


def test_a_second_view_is_another():
    images, stream = random_images(6, 8, 8), generator()
    first, second = (random_views(images, STRONG, stream) for _ in range(2))
    assert (first != second).flatten(1).any(dim=1).all()


def test_random_views_apply_what_is_drawn():
    images = random_images(6, 8, 8)
    drawn = draw_views(6, STRONG, generator(5))
    assert (random_views(images, STRONG, generator(5)) == apply_views(images, drawn)).all()


def test_an_image_is_seen_the_same_alone_as_in_a_batch():
    images, drawn = random_images(4, 7, 5), draw_views(4, STRONG, generator())
    together = apply_views(images, drawn)
    for i in range(4):
        own = Views(*(x[i : i + 1] for x in (drawn.mirror, drawn.shift, drawn.zoom, drawn.colour)))
        torch.testing.assert_close(
            apply_views(images[i : i + 1], own), together[i : i + 1], rtol=0, atol=1e-6
        )


@pytest.mark.parametrize(("height", "width"), [(32, 32), (5, 9), (1, 1)])
def test_no_strength_changes_nothing(height, width):
    images = random_images(3, height, width)
    out = random_views(images, Strength(1.0, 0.0, 0.0, flip=0.0), generator())
    torch.testing.assert_close(out, images / 255, rtol=0, atol=2e-6)


def test_unit_floats_divide_by_255():
    images = torch.arange(256, dtype=torch.uint8).view(1, 1, 16, 16).expand(1, 3, 16, 16)
    out = unit_floats(images)
    assert out.dtype == torch.float32
    assert (out.min(), out.max()) == (0.0, 1.0)
    assert (out[0, 0].flatten() == torch.arange(256) / 255).all()


def test_no_images_give_no_views():
    empty = torch.empty(0, 3, 32, 32, dtype=torch.uint8)
    generator = torch.Generator().manual_seed(0)
    assert random_views(empty, Strength(0.25, 0.6, 0.2), generator).shape == (0, 3, 32, 32)
