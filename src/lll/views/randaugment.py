"""RandAugment in one pass on the device: two operations and a grey patch for every image.

Every image draws its own operations. Those that move pixels are joined with the weak view's
zoom, shift and mirror, and done by one resampling; those that change colours follow, as one
table of 256 levels per image and channel where they can.

Source: Cubuk et al. 2020 (arXiv:1909.13719), with the operations and ranges of FixMatch (Sohn et
al. 2020, table 12), after it a patch as in DeVries & Taylor 2017 (arXiv:1708.04552). Colour
operations give the levels that Pillow's give. We depart in that all moves come first, are
bilinear and reflect at the border, where the paper's code leaves black.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float, Int, UInt8
from torch import Tensor

from lll.views.geometric import DRAWS, Strength, Views, resample, source_of, views_from

OPERATIONS = (
    "identity", "autocontrast", "equalize", "brightness", "colour", "contrast", "sharpness",
    "posterize", "solarize", "rotate", "shear_x", "shear_y", "translate_x", "translate_y",
)  # fmt: skip
SLOTS = 2  # operations for each image
ANGLE, SHEAR, SHIFT = math.radians(30), 0.3, 0.3  # at most, either way
PATCH = 0.5  # the largest side, as a share of the image's
LEVELS = 256
GREY = (19595 / 65536, 38470 / 65536, 7471 / 65536)  # ITU-R 601-2, as Pillow rounds it


@dataclass(frozen=True)
class Draw:
    """One draw per image.

    ``base`` is the weak view before; ``operations`` [n, s] are positions in `OPERATIONS`,
    ``amounts`` [n, s] how far, in [0, 1), and ``signs`` [n, s] which way, 1 or -1; ``patch`` [n, 3]
    holds the side, and the middle (down, right), as shares of the image.
    """

    base: Views
    operations: Int[Tensor, "n s"]
    amounts: Float[Tensor, "n s"]
    signs: Float[Tensor, "n s"]
    patch: Float[Tensor, "n 3"]

    def take(self, rows: Int[Tensor, " m"]) -> Draw:
        """The draws at ``rows`` [m], in that order."""
        own = {name: value[rows] for name, value in vars(self).items() if name != "base"}
        return replace(self, base=self.base.take(rows), **own)


def draw_randaugment(n: int, weak: Strength, generator: torch.Generator) -> Draw:
    """A draw for each of ``n`` images, on the generator's device; ``weak`` is of the base."""
    draw = torch.rand(n, DRAWS + 3 * SLOTS + 3, generator=generator, device=generator.device)
    base, operations, amounts, signs, patch = torch.split(
        draw, [DRAWS, SLOTS, SLOTS, SLOTS, 3], dim=1
    )
    return Draw(
        views_from(base, replace(weak, brightness=0.0, jitter=0.0)),
        (operations * len(OPERATIONS)).long(),
        amounts,
        torch.where(signs < 0.5, 1.0, -1.0),
        patch * patch.new_tensor([PATCH, 1.0, 1.0]),
    )


def apply_randaugment(images: UInt8[Tensor, "n 3 h w"], draw: Draw) -> Float[Tensor, "n 3 h w"]:
    """Show ``images`` as drawn: floats in [0, 1], channels-last in memory."""
    n, _, height, width = images.shape
    if n == 0:
        return images.float()
    source = source_of(draw.base)
    for slot in range(SLOTS):
        source = source @ moved(draw, slot, height / width)
    levels = (resample(images, source[:, :2]) * (LEVELS - 1)).round()
    for slot in range(SLOTS):
        levels = recoloured(levels, draw.operations[:, slot], draw.amounts[:, slot])
    shown = torch.where(patched(draw.patch, height, width), 0.5, levels / (LEVELS - 1))
    return shown.contiguous(memory_format=torch.channels_last)


def moved(draw: Draw, slot: int, aspect: float) -> Float[Tensor, "n 3 3"]:
    """Where a point of the result comes from: coordinates (x, y, 1), from -1 to 1 in the image.

    The identity for an operation that moves nothing. ``aspect`` is height / width. Shears leave
    the upper or left border where it is, as Pillow's do.
    """
    operation, far = draw.operations[:, slot], draw.amounts[:, slot] * draw.signs[:, slot]

    def amount(name: str, most: float) -> Float[Tensor, " n"]:
        return torch.where(_is(operation, name), most * far, 0.0)

    angle = amount("rotate", ANGLE)
    shear_x, shear_y = amount("shear_x", SHEAR) * aspect, amount("shear_y", SHEAR) / aspect
    out = torch.zeros(len(far), 3, 3, device=far.device)
    out[:, 0, 0] = out[:, 1, 1] = angle.cos()
    out[:, 0, 1] = shear_x - angle.sin() * aspect
    out[:, 1, 0] = shear_y + angle.sin() / aspect
    out[:, 0, 2] = shear_x + 2 * amount("translate_x", SHIFT)
    out[:, 1, 2] = shear_y + 2 * amount("translate_y", SHIFT)
    out[:, 2, 2] = 1.0
    return out


def recoloured(
    levels: Float[Tensor, "n 3 h w"], operation: Int[Tensor, " n"], amount: Float[Tensor, " n"]
) -> Float[Tensor, "n 3 h w"]:
    """Whole ``levels``, 0 to 255, after the operation of each image, if it changes colours."""
    factor = (0.05 + 0.9 * amount)[:, None, None, None]
    grey = grey_of(levels)
    pixels = levels.flatten(2)
    table = _table(pixels, grey, operation, amount)
    out = table.gather(2, pixels.long()).view(levels.shape)
    out = torch.where(_is(operation, "colour", 4), _blend(grey, levels, factor), out)
    sharp = _blend(smoothed(levels), levels, factor)
    return torch.where(_is(operation, "sharpness", 4), sharp, out)


def _table(
    pixels: Float[Tensor, "n 3 p"],
    grey: Float[Tensor, "n 1 h w"],
    operation: Int[Tensor, " n"],
    amount: Float[Tensor, " n"],
) -> Float[Tensor, "n 3 256"]:
    """The new level of each level, for the operations that look at one channel of a pixel."""
    level = torch.arange(LEVELS, device=pixels.device, dtype=pixels.dtype)
    far = amount[:, None, None]
    factor, coarse = 0.05 + 0.9 * far, 2.0 ** (4 - (4 * far).floor())
    mean = (grey.mean(dim=(1, 2, 3)) + 0.5).floor()[:, None, None]
    tables = {
        "autocontrast": stretched(pixels, level),
        "equalize": equalized(pixels, level),
        "brightness": (factor * level).floor(),
        "contrast": _blend(mean, level, factor),
        "posterize": (level / coarse).floor() * coarse,
        "solarize": torch.where(level < LEVELS * far, level, LEVELS - 1 - level),
    }
    out = level.expand(len(pixels), 3, LEVELS)
    for name, table in tables.items():
        out = torch.where(_is(operation, name, 3), table, out)
    return out


def stretched(
    pixels: Float[Tensor, "n 3 p"], level: Float[Tensor, " 256"]
) -> Float[Tensor, "n 3 256"]:
    """Levels such that the darkest pixel of a channel becomes 0 and the brightest 255."""
    low, high = pixels.amin(dim=2, keepdim=True), pixels.amax(dim=2, keepdim=True)
    scale = (LEVELS - 1) / (high - low).clamp(min=1)
    wide = (level * scale - low * scale).floor().clamp(0, LEVELS - 1)
    return torch.where(high > low, wide, level)


def equalized(
    pixels: Float[Tensor, "n 3 p"], level: Float[Tensor, " 256"]
) -> Float[Tensor, "n 3 256"]:
    """Levels such that all are about as frequent in a channel, as Pillow counts."""
    counts = torch.zeros(len(pixels), 3, LEVELS, device=pixels.device)
    counts.scatter_add_(2, pixels.long(), torch.ones_like(pixels))
    brightest = counts.gather(2, pixels.amax(dim=2, keepdim=True).long())
    step = ((pixels.shape[2] - brightest) / (LEVELS - 1)).floor()
    below = counts.cumsum(dim=2) - counts
    even = (((step / 2).floor() + below) / step.clamp(min=1)).floor().clamp(max=LEVELS - 1)
    return torch.where(step > 0, even, level)


def grey_of(levels: Float[Tensor, "n 3 h w"]) -> Float[Tensor, "n 1 h w"]:
    """The brightness of each pixel, rounded."""
    red, green, blue = levels.unbind(dim=1)
    return (red * GREY[0] + green * GREY[1] + blue * GREY[2] + 0.5).floor()[:, None]


def smoothed(levels: Float[Tensor, "n 3 h w"]) -> Float[Tensor, "n 3 h w"]:
    """Each pixel, five times, and its eight neighbours, once, on average; the border stays."""
    around = 9 * F.avg_pool2d(levels, 3, stride=1, padding=1)
    mixed = ((around + 4 * levels) / 13 + 0.5).floor()
    out = levels.clone()
    out[:, :, 1:-1, 1:-1] = mixed[:, :, 1:-1, 1:-1]
    return out


def patched(patch: Float[Tensor, "n 3"], height: int, width: int) -> Bool[Tensor, "n 1 h w"]:
    """Which pixels the grey patch covers: those whose middle is in it."""
    size = patch[:, 0, None] / 2
    rows = torch.arange(height, device=patch.device) + 0.5
    columns = torch.arange(width, device=patch.device) + 0.5
    inside_rows = (rows / height - patch[:, 1, None]).abs() < size
    inside_columns = (columns / width - patch[:, 2, None]).abs() < size
    return (inside_rows[:, :, None] & inside_columns[:, None, :])[:, None]


def _blend(first: Tensor, second: Tensor, factor: Tensor) -> Tensor:
    """From ``first`` at factor 0 to ``second`` at 1, rounded down as Pillow does."""
    return (first + factor * (second - first)).floor()


def _is(operation: Int[Tensor, " n"], name: str, dims: int = 1) -> Tensor:
    """For which images ``operation`` is ``name``: a mask [n, 1, ...] of so many dimensions."""
    mask = operation == OPERATIONS.index(name)
    return mask.view(-1, *[1] * (dims - 1))
