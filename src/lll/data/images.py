"""Bytes of an image file -> uint8 RGB pixels of one size, and what could not be read."""

from __future__ import annotations

import os
import warnings
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from io import BytesIO
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from lll.types import Skipped, UserError

if TYPE_CHECKING:
    from PIL import Image

Reader = Callable[[], bytes]

SUFFIXES = frozenset({".png", ".jpg", ".jpeg", ".bmp", ".gif", ".webp", ".tif", ".tiff"})
# Pillow knows dozens of formats, some of which start other programs (EPS). Only these are tried.
FORMATS = ("PNG", "JPEG", "BMP", "GIF", "WEBP", "TIFF")
# 64 megapixels is 192 MB once decoded: more than any camera's ordinary photo.
MAX_PIXELS = 64 * 2**20
MAX_FILE_BYTES = 256 * 2**20
MIN_SIZE, MAX_SIZE = 1, 1024  # image_size, in pixels

# Measured on two cores: threads make small files slower (the interpreter lock) and files
# of some tens of kilobytes up to twice as fast.
THREADS_FROM_BYTES = 32 * 2**10
CHUNK = 256  # files read before they are decoded


class UnreadableError(ValueError):
    """Why one image could not be used."""


def check_size(image_size: int) -> int:
    """``image_size`` if it is a number of pixels that can be used, else UserError."""
    if not MIN_SIZE <= image_size <= MAX_SIZE:
        raise UserError(f"image_size is {image_size}: choose {MIN_SIZE} to {MAX_SIZE} pixels")
    return image_size


def is_image(path: str) -> bool:
    """Whether the suffix of ``path`` is that of an image that can be read."""
    return os.path.splitext(path)[1].lower() in SUFFIXES  # noqa: PTH122 - a member name, not a path


def decode(data: bytes, size: int) -> NDArray[np.uint8]:
    """The image in ``data`` as uint8 [size, size, 3].

    EXIF orientation is applied; transparent pixels are laid on white; 16-bit grey keeps its
    upper 8 bits; of an animation the first frame is taken. Another size is resized
    straight to size x size (bicubic, antialiased), so the aspect ratio may change.

    Raises UnreadableError with the reason.
    """
    from PIL import Image, UnidentifiedImageError

    try:
        with Image.open(BytesIO(data), formats=FORMATS) as image:
            pixels = image.width * image.height
            if pixels > MAX_PIXELS:
                raise UnreadableError(f"{pixels} pixels, more than {MAX_PIXELS}")
            # A JPEG can be decoded at 1/2, 1/4 or 1/8 size; twice the target loses nothing.
            image.draft(None, (2 * size, 2 * size))
            return np.asarray(_square(_rgb(_upright(image)), size))
    except UnreadableError:
        raise
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        raise UnreadableError(f"more than {MAX_PIXELS} pixels") from error
    except UnidentifiedImageError as error:
        raise UnreadableError(
            "empty file" if not data else "not an image of a known format"
        ) from error
    # Decoders report a damaged file through any of these, EOFError and IndexError included.
    except Exception as error:
        raise UnreadableError(f"damaged image: {error or type(error).__name__}") from error


def _upright(image: Image.Image) -> Image.Image:
    from PIL import ImageOps

    image.load()  # so that damaged pixels are not taken for damaged metadata below
    # Broken metadata beside sound pixels is no reason to lose the image.
    with suppress(ValueError, TypeError, KeyError, SyntaxError, ZeroDivisionError):
        ImageOps.exif_transpose(image, in_place=True)
    return image


def _rgb(image: Image.Image) -> Image.Image:
    from PIL import Image

    if image.mode.startswith("I;16"):
        grey = np.asarray(image).astype(np.uint16) >> 8
        return Image.fromarray(grey.astype(np.uint8)).convert("RGB")
    if image.mode in ("I", "F"):
        raise UnreadableError("32-bit pixels have no fixed range: save it with 8 or 16 bits")
    if image.has_transparency_data:
        white = Image.new("RGBA", image.size, (255, 255, 255, 255))
        return Image.alpha_composite(white, image.convert("RGBA")).convert("RGB")
    return image if image.mode == "RGB" else image.convert("RGB")


def _square(image: Image.Image, size: int) -> Image.Image:
    from PIL import Image

    if image.size == (size, size):
        return image
    return image.resize((size, size), Image.Resampling.BICUBIC)


def resize_all(images: NDArray[np.uint8], size: int) -> NDArray[np.uint8]:
    """Images uint8 [n, h, w, 3] as [n, size, size, 3], resized as ``decode`` does."""
    from PIL import Image

    if images.shape[1:3] == (size, size):
        return images
    out = np.empty((len(images), size, size, 3), dtype=np.uint8)
    for i, image in enumerate(images):
        out[i] = np.asarray(_square(Image.fromarray(image), size))
    return out


def decode_all(
    names: Sequence[str], readers: Sequence[Reader], size: int, *, strict: bool = False
) -> tuple[NDArray[np.uint8], NDArray[np.bool_], tuple[Skipped, ...]]:
    """Read and decode files: images uint8 [m, size, size, 3], a mask [n] of the m readable, skips.

    ``names`` [n] are what errors call them. With ``strict`` the first unreadable image is
    a UserError that names it.
    """
    images = np.empty((len(names), size, size, 3), dtype=np.uint8)
    kept = np.zeros(len(names), dtype=bool)
    skipped: list[Skipped] = []
    filled = 0
    with _calm(), ThreadPoolExecutor(min(8, os.cpu_count() or 1)) as pool:
        for start in range(0, len(names), CHUNK):
            results = _decode_chunk(readers[start : start + CHUNK], size, pool)
            for i, result in enumerate(results, start):
                if isinstance(result, UnreadableError):
                    if strict:
                        raise UserError(
                            f"{names[i]} cannot be read ({result}): repair or remove it,"
                            " or load without strict to skip it"
                        )
                    skipped.append(Skipped(names[i], str(result)))
                else:
                    images[filled] = result
                    kept[i] = True
                    filled += 1
    return images[:filled], kept, tuple(skipped)


def _decode_chunk(
    readers: Sequence[Reader], size: int, pool: ThreadPoolExecutor
) -> Iterator[NDArray[np.uint8] | UnreadableError]:
    def attempt(data: bytes | UnreadableError) -> NDArray[np.uint8] | UnreadableError:
        if isinstance(data, UnreadableError):
            return data
        try:
            return decode(data, size)
        except UnreadableError as error:
            return error

    contents = [_read(reader) for reader in readers]
    total_bytes = sum(len(c) for c in contents if isinstance(c, bytes))
    if total_bytes >= THREADS_FROM_BYTES * len(contents):
        return pool.map(attempt, contents)
    return map(attempt, contents)


def _read(reader: Reader) -> bytes | UnreadableError:
    try:
        return reader()
    except UnreadableError as error:
        return error
    except OSError as error:
        return UnreadableError(f"cannot be opened: {error.strerror or error}")


@contextmanager
def _calm() -> Iterator[None]:
    """Pillow's size warning becomes an error to catch; its remarks on metadata stay silent."""
    from PIL import Image

    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", module=r"PIL\.")
        warnings.simplefilter("error", Image.DecompressionBombWarning)
        yield
