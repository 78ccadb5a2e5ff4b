"""Pixels in another shape: 16 bits to 8, any size to a square."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from PIL import Image


def upper_bits(image: Image.Image) -> NDArray[np.uint8]:
    """The upper 8 of 16 or 12 bits of grey, with 0 for black.

    Of a TIFF Pillow gives the numbers as stored; its tags say their bits and which is black.
    """
    from PIL.TiffImagePlugin import BITSPERSAMPLE, PHOTOMETRIC_INTERPRETATION

    tags = getattr(image, "tag_v2", {})
    shift = tags.get(BITSPERSAMPLE, (16,))[0] - 8
    grey: NDArray[np.uint8] = (np.asarray(image).astype(np.uint16) >> shift).astype(np.uint8)
    white_is_zero = tags.get(PHOTOMETRIC_INTERPRETATION) == 0
    return ~grey if white_is_zero else grey


def square(image: Image.Image, size: int, resize: str) -> Image.Image:
    """``image`` at size x size: all of it, or with ``resize`` "crop" its middle square."""
    from PIL import Image

    if image.size == (size, size):
        return image
    width, height = image.size
    left, top = 0.0, 0.0
    if resize == "crop":
        left, top = max(width - height, 0) / 2, max(height - width, 0) / 2
    box = (left, top, width - left, height - top)
    return image.resize((size, size), Image.Resampling.BICUBIC, box=box)


def resize_all(images: NDArray[np.uint8], size: int, resize: str = "squash") -> NDArray[np.uint8]:
    """Images uint8 [n, h, w, 3] as [n, size, size, 3], resized as ``decode`` does."""
    from PIL import Image

    if images.shape[1:3] == (size, size):
        return images
    out = np.empty((len(images), size, size, 3), dtype=np.uint8)
    for i, image in enumerate(images):
        out[i] = np.asarray(square(Image.fromarray(image), size, resize))
    return out
