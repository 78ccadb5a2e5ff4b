"""Batched random views: every image gets its own draw, in one pass on the device.

A view is drawn first (`draw_views`: a few numbers per image) and applied second
(`apply_views`), so a draw can be looked at, tested and repeated.

The ranges are those of the semi-supervised SimCLR example of Keras (A. Béres, 2021), whose
order flip, translation, zoom is kept; there each is resampled in turn, here once.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int, Shaped, UInt8
from torch import Tensor

DRAWS = 15  # random numbers of a view


@dataclass(frozen=True)
class Strength:
    """How far a view may go.

    ``min_area``: smallest share of the image's area that a zoom keeps, in (0, 1];
    ``brightness`` and ``jitter``: half-widths of the uniform draws of the colour change;
    ``flip``: probability of a horizontal mirror.
    """

    min_area: float
    brightness: float
    jitter: float
    flip: float = 0.5

    @property
    def zoom(self) -> float:
        """z = 1 - sqrt(min_area): range of the zoom and, halved, of the translation."""
        return 1.0 - math.sqrt(self.min_area)


@dataclass(frozen=True)
class Views:
    """One draw per image.

    ``mirror`` [n] is -1 for a mirrored image, else 1; ``shift`` [n, 2] is the translation
    (down, right) as a share of height and width; ``zoom`` [n, 2] is the share of height and
    width that is shown; ``colour`` [n, 3, 3] multiplies an RGB row vector from the right.
    """

    mirror: Float[Tensor, " n"]
    shift: Float[Tensor, "n 2"]
    zoom: Float[Tensor, "n 2"]
    colour: Float[Tensor, "n 3 3"]

    def take(self, rows: Int[Tensor, " m"]) -> Views:
        """The draws at ``rows`` [m], in that order."""
        return Views(self.mirror[rows], self.shift[rows], self.zoom[rows], self.colour[rows])


def draw_views(n: int, strength: Strength, generator: torch.Generator) -> Views:
    """Draw one view for each of ``n`` images, on the generator's device."""
    # One call for all the numbers: on a GPU a launch costs more than the numbers.
    draw = torch.rand(n, DRAWS, generator=generator, device=generator.device)
    return views_from(draw, strength)


def views_from(draw: Float[Tensor, "n 15"], strength: Strength) -> Views:
    """The views that numbers ``draw`` make, each uniform in [0, 1)."""
    n, device = len(draw), draw.device
    mirror = torch.where(draw[:, 0] < strength.flip, -1.0, 1.0)
    shift = (draw[:, 1:3] - 0.5) * strength.zoom
    zoom = 1.0 - strength.zoom * draw[:, 3:5]
    brightness = 1.0 + strength.brightness * (2.0 * draw[:, 5] - 1.0)
    jitter = strength.jitter * (2.0 * draw[:, 6:15] - 1.0).view(n, 3, 3)
    colour = brightness[:, None, None] * torch.eye(3, device=device) + jitter
    return Views(mirror, shift, zoom, colour)


def apply_views(images: UInt8[Tensor, "n 3 h w"], views: Views) -> Float[Tensor, "n 3 h w"]:
    """Show ``images`` through ``views``: floats in [0, 1], channels-last in memory.

    A point of the view, in coordinates centred on the image, comes from
    ``mirror * (zoom * point - shift)`` of the original: the image is mirrored, then moved,
    then zoomed into. Outside the border the image is reflected about its edge.
    """
    n, _, height, width = images.shape
    if n == 0:
        return unit_floats(images)
    shown = resample(images, source_of(views)[:, :2])
    rows = shown.permute(0, 2, 3, 1).reshape(n, height * width, 3)
    coloured = torch.bmm(rows, views.colour).clamp_(0.0, 1.0)
    return coloured.view(n, height, width, 3).permute(0, 3, 1, 2)


def source_of(views: Views) -> Float[Tensor, "n 3 3"]:
    """Where a point of a view comes from: coordinates (x, y, 1), from -1 to 1 in the image."""
    source = torch.zeros(len(views.mirror), 3, 3, device=views.mirror.device)
    # Counted in half images, hence the factor 2 on the shift.
    source[:, 0, 0] = views.mirror * views.zoom[:, 1]
    source[:, 0, 2] = -2.0 * views.mirror * views.shift[:, 1]
    source[:, 1, 1] = views.zoom[:, 0]
    source[:, 1, 2] = -2.0 * views.shift[:, 0]
    source[:, 2, 2] = 1.0
    return source


def resample(
    images: UInt8[Tensor, "n 3 h w"], source: Float[Tensor, "n 2 3"]
) -> Float[Tensor, "n 3 h w"]:
    """``images`` in [0, 1] seen through the map ``source``: bilinear, reflected at the border."""
    grid = F.affine_grid(source, list(images.shape), align_corners=False)
    return F.grid_sample(
        unit_floats(images), grid, mode="bilinear", padding_mode="reflection", align_corners=False
    )


def unit_floats(images: Shaped[Tensor, "n 3 h w"]) -> Float[Tensor, "n 3 h w"]:
    """uint8 images as floats in [0, 1]: the view at evaluation, which changes nothing."""
    return images.float().div_(255.0)
