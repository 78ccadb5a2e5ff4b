"""Any array of images that scikit-learn may hand over, as uint8 RGB images."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lll.errors import UserError

Shape = tuple[int, int, int]  # height, width, channels
Range = tuple[float, float]  # the values that mean 0 and 255


def shape_of(array: Sequence[int], wanted: Sequence[int] | None) -> Shape:
    """Height, width and channels of the images in an array of shape ``array``.

    [n, h, w], [n, h, w, 1] and [n, h, w, 3] say it themselves. Rows [n, features] are
    ``wanted``, as `numpy.reshape` takes it, or else the square grey or RGB image with that
    many values. Raises UserError if that is no image, or not what is ``wanted``.

    >>> shape_of((5, 64), None), shape_of((5, 12), (2, -1)), shape_of((5, 12), None)
    ((8, 8, 1), (2, 6, 1), (2, 2, 3))
    """
    if len(array) == 2:
        return _shape_of_rows(array[1], wanted)
    shape = _with_channels(array[1:])
    if wanted is not None and shape != _shape_of_rows(math.prod(shape), wanted):
        raise UserError(
            f"X has images of {said(shape)}, but image_shape is {tuple(wanted)}: leave it out"
        )
    return shape


def _shape_of_rows(features: int, wanted: Sequence[int] | None) -> Shape:
    if wanted is not None:
        try:
            return _with_channels(np.empty(features).reshape(tuple(wanted)).shape)
        except (ValueError, TypeError):
            raise UserError(
                f"image_shape {wanted!r} does not fit rows of {features} values: "
                "give (height, width) or (height, width, 3)"
            ) from None
    for channels in (1, 3):
        side = math.isqrt(features // channels)
        if side * side * channels == features:
            return side, side, channels
    raise UserError(
        f"X has {features} features, which is not a square image, grey or RGB: "
        "give image_shape=(height, width) or (height, width, 3)"
    )


def _with_channels(shape: Sequence[int]) -> Shape:
    height, width, channels = (*shape, 1)[:3] if len(shape) in (2, 3) else (0, 0, 0)
    if channels not in (1, 3) or not height or not width:
        raise UserError(f"X has images of {said(shape)}: give [n, h, w] or [n, h, w, 3]")
    return int(height), int(width), int(channels)


def said(shape: Sequence[int]) -> str:
    """``shape`` as a message says it."""
    return " x ".join(map(str, shape))


def range_of(array: NDArray[Any], wanted: Range | str | None) -> Range | None:
    """The values of ``array`` that mean black and white: ``wanted``, or with "fit" the extremes.

    None where the type says it: uint8 is 0 to 255, floats are 0 to 1.
    """
    if wanted is None:
        return None
    if isinstance(wanted, str) and wanted == "fit":
        return float(array.min()), float(array.max())
    try:
        low, high = map(float, wanted)
    except (ValueError, TypeError):
        low = high = 0.0
    if not low < high:
        raise UserError(f"pixel_range is {wanted!r}: give (low, high), 'fit' or None")
    return low, high


def to_uint8(array: NDArray[Any], span: Range | None, *, clip: bool) -> NDArray[np.uint8]:
    """``array``, of any shape, with ``span`` spread over 0..255; as `range_of` says if None.

    Values outside are clipped if ``clip``, else a UserError.
    """
    if span is None and array.dtype == np.uint8:
        return array
    if span is None and array.dtype.kind != "f":
        raise UserError(
            f"X is {array.dtype}: give uint8, floats in [0, 1], or pixel_range=(black, white)"
        )
    low, high = span or (0.0, 1.0)
    least, most = float(array.min()), float(array.max())
    if not clip and not low <= least <= most <= high:
        raise UserError(
            f"X holds values from {least:g} to {most:g}, outside {low:g} to {high:g}: "
            "scale them, or give pixel_range=(black, white)"
        )
    share = (array.astype(np.float64).clip(low, high) - low) / ((high - low) or 1.0)
    return np.rint(share * 255).astype(np.uint8)


def content_ids(images: NDArray[np.uint8]) -> NDArray[np.str_]:
    """An id [n] for each of ``images`` that depends on its pixels alone."""
    return np.array([hashlib.blake2b(i.tobytes(), digest_size=16).hexdigest() for i in images])
