"""Slow twin of `lll.views.geometric.apply_views`: a loop over images and pixels in float64."""

import math

import numpy as np


def reflected(index: int, size: int) -> int:
    """The pixel that stands at ``index`` when an image is mirrored at its edges: cba|abc|cba."""
    while not 0 <= index < size:
        index = -1 - index if index < 0 else 2 * size - 1 - index
    return index


def bilinear(image: np.ndarray, y: float, x: float) -> np.ndarray:
    """The colour [3] at (y, x) of ``image`` [3, h, w], in pixels; pixel centres are integers."""
    _, height, width = image.shape
    top, left = math.floor(y), math.floor(x)
    below, right = y - top, x - left
    total = np.zeros(3)
    for row, row_share in ((top, 1 - below), (top + 1, below)):
        for column, column_share in ((left, 1 - right), (left + 1, right)):
            pixel = image[:, reflected(row, height), reflected(column, width)]
            total += row_share * column_share * pixel
    return total


def origin(
    y: int, x: int, size: tuple[int, int], mirror: float, shift: np.ndarray, zoom: np.ndarray
) -> tuple[float, float]:
    """Where in the original the pixel (y, x) of the view comes from, in pixels.

    The image was mirrored, then moved, then zoomed into; each is undone, the last first.
    """
    height, width = size
    down, right = y + 0.5 - height / 2, x + 0.5 - width / 2  # from the middle of the image
    down, right = down * zoom[0], right * zoom[1]
    down, right = down - shift[0] * height, right - shift[1] * width
    right = -right if mirror == -1 else right
    return down + height / 2 - 0.5, right + width / 2 - 0.5


def coloured(rgb: np.ndarray, matrix: np.ndarray) -> list[float]:
    """clip(rgb · matrix, 0, 1) for one colour [3]."""
    mixed = [sum(rgb[k] * matrix[k, c] for k in range(3)) for c in range(3)]
    return [min(max(value, 0.0), 1.0) for value in mixed]


def slow_views(
    images: np.ndarray,
    mirror: np.ndarray,
    shift: np.ndarray,
    zoom: np.ndarray,
    colour: np.ndarray,
) -> np.ndarray:
    """Views [n, 3, h, w] of uint8 ``images`` [n, 3, h, w], with one draw for each image.

    ``mirror`` [n], ``shift`` and ``zoom`` [n, 2] as (down, right), ``colour`` [n, 3, 3].
    """
    n, _, height, width = images.shape
    shown = np.zeros(images.shape)
    for i in range(n):
        image = images[i] / 255
        for y in range(height):
            for x in range(width):
                there = origin(y, x, (height, width), mirror[i], shift[i], zoom[i])
                shown[i, :, y, x] = coloured(bilinear(image, *there), colour[i])
    return shown
