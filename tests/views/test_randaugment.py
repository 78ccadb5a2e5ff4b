"""Every operation of RandAugment against Pillow on the same draw, and what is drawn."""

import math

import numpy as np
import pytest
import torch
from PIL import Image, ImageEnhance, ImageOps
from scipy import stats

from lll.views.geometric import Strength, Views
from lll.views.images import ImageViews
from lll.views.randaugment import (
    OPERATIONS,
    SLOTS,
    Draw,
    apply_randaugment,
    draw_randaugment,
    patched,
)

STILL = Strength(min_area=1.0, brightness=0.0, jitter=0.0, flip=0.0)
WEAK = Strength(min_area=0.75, brightness=0.3, jitter=0.1)
AMOUNTS = (0.0, 0.13, 0.5, 0.77, 0.999)


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


def photos(n=4, height=20, width=16):
    """Images with all that the operations look at: dark, bright, narrow and flat channels."""
    rng = np.random.default_rng(0)
    y, x = np.mgrid[:height, :width]
    smooth = np.stack([40 + 8 * x, 20 + 9 * y, 128 + 60 * np.sin(x * y / 30)], axis=-1)
    out = [
        smooth + rng.normal(0, 9, smooth.shape),
        rng.integers(0, 256, smooth.shape),
        90 + rng.integers(0, 20, smooth.shape),
        np.broadcast_to([0, 77, 255], smooth.shape),
    ]
    return np.stack(out[:n]).clip(0, 255).astype(np.uint8)


def still(n):
    """The base view that changes nothing."""
    return Views(torch.ones(n), torch.zeros(n, 2), torch.ones(n, 2), torch.eye(3).expand(n, 3, 3))


def drawn(n, first, amount, sign=1.0, second="identity", base=None):
    names = [OPERATIONS.index(first), OPERATIONS.index(second)]
    return Draw(
        base or still(n),
        torch.tensor([names] * n),
        torch.full((n, SLOTS), amount),
        torch.full((n, SLOTS), sign),
        torch.zeros(n, 3),
    )


def shown(images, draw):
    """What is seen, uint8 [n, h, w, 3]."""
    views = apply_randaugment(torch.from_numpy(images).permute(0, 3, 1, 2), draw)
    return (views * 255).round().permute(0, 2, 3, 1).numpy().astype(int)


def factor(amount):
    return 0.05 + 0.9 * amount


PILLOW = {
    "identity": lambda image, amount: image,
    "autocontrast": lambda image, amount: ImageOps.autocontrast(image),
    "equalize": lambda image, amount: ImageOps.equalize(image),
    "brightness": lambda image, amount: ImageEnhance.Brightness(image).enhance(factor(amount)),
    "colour": lambda image, amount: ImageEnhance.Color(image).enhance(factor(amount)),
    "contrast": lambda image, amount: ImageEnhance.Contrast(image).enhance(factor(amount)),
    "sharpness": lambda image, amount: ImageEnhance.Sharpness(image).enhance(factor(amount)),
    "posterize": lambda image, amount: ImageOps.posterize(image, 4 + int(4 * amount)),
    "solarize": lambda image, amount: ImageOps.solarize(image, 256 * amount),
}


@pytest.mark.parametrize("amount", AMOUNTS)
@pytest.mark.parametrize("name", PILLOW)
def test_colours_are_those_of_pillow(name, amount):
    images = photos()
    theirs = [np.asarray(PILLOW[name](Image.fromarray(image), amount)) for image in images]
    apart = np.abs(shown(images, drawn(len(images), name, amount)) - np.stack(theirs))
    assert apart.max() <= 1  # a level, where rounding down falls the other way
    assert (apart > 0).mean() < 0.01


def affine(image, matrix):
    """Pillow's view through (a, b, c, d, e, f), and where its four neighbours are all inside."""
    data = image.size, Image.Transform.AFFINE, matrix, Image.Resampling.BILINEAR
    frame = Image.new("L", image.size, 255)
    inside = np.asarray(frame.transform(*data)) == 255
    edge = np.asarray(frame)[:, :].copy()
    edge[1:-1, 1:-1] = 0
    near_edge = np.asarray(Image.fromarray(edge).transform(*data)) > 0
    return np.asarray(image.transform(*data)).astype(int), inside & ~near_edge


def matrix_of(name, far, width, height):
    if name == "rotate":
        cos, sin, x, y = math.cos(far), math.sin(far), width / 2, height / 2
        return (cos, -sin, x - cos * x + sin * y, sin, cos, y - sin * x - cos * y)
    return {
        "shear_x": (1, far, 0, 0, 1, 0),
        "shear_y": (1, 0, 0, far, 1, 0),
        "translate_x": (1, 0, far * width, 0, 1, 0),
        "translate_y": (1, 0, 0, 0, 1, far * height),
    }[name]


MOST = {"rotate": math.radians(30)} | dict.fromkeys(
    ("shear_x", "shear_y", "translate_x", "translate_y"), 0.3
)


@pytest.mark.parametrize("sign", [1.0, -1.0])
@pytest.mark.parametrize("amount", AMOUNTS)
@pytest.mark.parametrize("name", MOST)
def test_moves_are_those_of_pillow_inside_the_image(name, amount, sign):
    images = photos(2, 24, 20)
    ours = shown(images, drawn(len(images), name, amount, sign))
    for image, mine in zip(images, ours, strict=True):
        matrix = matrix_of(name, sign * amount * MOST[name], 20, 24)
        theirs, inside = affine(Image.fromarray(image), matrix)
        assert inside.mean() > 0.3
        assert np.abs(mine - theirs)[inside].max() <= 1


def test_two_moves_are_one_after_the_other():
    images = photos(1, 32, 32)
    ours = shown(images, drawn(1, "rotate", 0.5, 1.0, "shear_x"))[0]
    first = matrix_of("rotate", 0.5 * MOST["rotate"], 32, 32)
    second = matrix_of("shear_x", 0.15, 32, 32)
    joined = np.array([[*first[:3]], [*first[3:]], [0, 0, 1]]) @ np.array(
        [[*second[:3]], [*second[3:]], [0, 0, 1]]
    )
    theirs, inside = affine(Image.fromarray(images[0]), tuple(joined[:2].ravel()))
    assert np.abs(ours - theirs)[inside].max() <= 1


def test_what_is_outside_is_reflected():
    image = np.arange(8, dtype=np.uint8)[None, None, :, None].repeat(3, axis=3) * 30
    ours = shown(image, drawn(1, "translate_x", 0.999999))[0, 0, :, 0]
    moved = 0.3 * 8  # columns
    expected = [30 * min(x + moved, 2 * 7.5 - (x + moved)) for x in range(8)]
    assert ours.tolist() == pytest.approx(expected, abs=16)


def test_the_base_view_comes_first():
    images = photos(2)
    mirrored = Views(
        -torch.ones(2), torch.zeros(2, 2), torch.ones(2, 2), torch.eye(3).expand(2, 3, 3)
    )
    ours = shown(images, drawn(2, "shear_x", 0.5, base=mirrored))
    other = shown(np.ascontiguousarray(images[:, :, ::-1]), drawn(2, "shear_x", 0.5))
    assert np.abs(ours - other).max() <= 1


def test_colours_follow_in_order():
    images = photos()
    ours = shown(images, drawn(4, "posterize", 0.0, second="solarize"))
    twice = shown(
        shown(images, drawn(4, "posterize", 0.0)).astype(np.uint8), drawn(4, "solarize", 0.0)
    )
    assert np.array_equal(ours, twice)


def test_the_patch_equals_a_loop():
    patch = torch.tensor([[0.5, 0.5, 0.5], [0.3, 0.0, 0.9], [0.0, 0.4, 0.4]])
    found = patched(patch, 8, 12)
    for i, (side, down, right) in enumerate(patch.tolist()):
        for y in range(8):
            for x in range(12):
                inside = (
                    abs((y + 0.5) / 8 - down) < side / 2 and abs((x + 0.5) / 12 - right) < side / 2
                )
                assert bool(found[i, 0, y, x]) == inside


def test_every_image_has_its_own_draw_and_every_operation_its_turn():
    n = 20_000
    draw = draw_randaugment(n, WEAK, generator())
    for slot in range(SLOTS):
        counts = torch.bincount(draw.operations[:, slot], minlength=len(OPERATIONS))
        assert len(counts) == len(OPERATIONS)
        assert stats.chisquare(counts.numpy()).pvalue > 1e-4
        assert stats.kstest(draw.amounts[:, slot].numpy(), "uniform").pvalue > 1e-4
    assert abs(draw.signs.mean()) < 0.03
    assert 0 <= draw.patch[:, 0].min() < 0.01 < 0.49 < draw.patch[:, 0].max() < 0.5
    both = draw.operations[:, 0] * len(OPERATIONS) + draw.operations[:, 1]
    assert stats.chisquare(torch.bincount(both, minlength=len(OPERATIONS) ** 2)).pvalue > 1e-4
    taken = draw.take(torch.tensor([5, 2]))
    assert torch.equal(taken.operations, draw.operations[[5, 2]])
    assert torch.equal(taken.base.zoom, draw.base.zoom[[5, 2]])


def test_views_of_a_rank_are_those_of_one_process():
    images = torch.from_numpy(photos()).permute(0, 3, 1, 2)
    rows = torch.arange(4)
    whole = ImageViews(WEAK, None, generator()).strong(images, rows, 4, None)
    part = ImageViews(WEAK, None, generator()).strong(images[2:], rows[2:], 4, rows[2:])
    assert torch.equal(part, whole[2:])
    assert whole.min() >= 0 and whole.max() <= 1
    assert ImageViews(STILL, None, generator()).strong(images[:0], rows[:0], 0, None).shape == (
        0, 3, 20, 16,
    )  # fmt: skip
