"""Drawn photos for tests: lit things on a textured ground, in the public domain by making.

Four classes that differ in shape; colour, place, size, light and ground are drawn anew for each
photo from a seed, so that a class cannot be told by them.
"""

from collections.abc import Callable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFilter

SIZE = (640, 480)
Box = tuple[float, float, float]  # centre x, y and radius


def ball(draw: ImageDraw.ImageDraw, box: Box, rng: np.random.Generator) -> None:
    x, y, r = box
    draw.ellipse((x - r, y - r, x + r, y + r), fill=255)


def ring(draw: ImageDraw.ImageDraw, box: Box, rng: np.random.Generator) -> None:
    x, y, r = box
    draw.ellipse((x - r, y - r, x + r, y + r), outline=255, width=int(r * rng.uniform(0.2, 0.3)))


def star(draw: ImageDraw.ImageDraw, box: Box, rng: np.random.Generator) -> None:
    x, y, r = box
    angles = rng.uniform(0, 2 * np.pi) + np.arange(10) * np.pi / 5
    reach = r * np.where(np.arange(10) % 2, 0.4, 1.1)
    corners = zip(x + reach * np.cos(angles), y + reach * np.sin(angles), strict=True)
    draw.polygon([(float(a), float(b)) for a, b in corners], fill=255)


def ladder(draw: ImageDraw.ImageDraw, box: Box, rng: np.random.Generator) -> None:
    x, y, r = box
    for rung in np.linspace(-r, r, 6):
        draw.rectangle((x - 0.5 * r, y + rung - 6, x + 0.5 * r, y + rung + 6), fill=255)
    for side in (-0.5, 0.5):
        draw.rectangle((x + side * r - 8, y - 1.2 * r, x + side * r + 8, y + 1.2 * r), fill=255)


KINDS: dict[str, Callable[[ImageDraw.ImageDraw, Box, np.random.Generator], None]] = {
    "ball": ball,
    "ladder": ladder,
    "ring": ring,
    "star": star,
}


def draw_photo(kind: str, seed: int, size: tuple[int, int] = SIZE) -> Image.Image:
    """One RGB photo of a ``kind``, the same for the same seed."""
    rng = np.random.default_rng([seed, *kind.encode()])
    width, height = size
    radius = min(size) * rng.uniform(0.22, 0.36)
    box = (
        width * rng.uniform(0.42, 0.58),
        height * rng.uniform(0.42, 0.58),
        radius,
    )
    mask = Image.new("L", size)
    KINDS[kind](ImageDraw.Draw(mask), box, rng)
    shape, shadow = (
        np.asarray(mask.filter(ImageFilter.BoxBlur(blur)), np.float32)[..., None] / 255
        for blur in (1, 20)
    )
    thing = _light(size, rng) * _colour(90, 250, rng)
    ground = _texture(size, rng) * (1 - 0.5 * shadow) * _colour(30, 200, rng)
    pixels = ground + shape * (thing - ground)
    return Image.fromarray(np.clip(pixels, 0, 255).astype(np.uint8))


def _colour(low: int, high: int, rng: np.random.Generator) -> NDArray[np.float32]:
    return rng.uniform(low, high, 3).astype(np.float32)


def _light(size: tuple[int, int], rng: np.random.Generator) -> NDArray[np.float32]:
    """Brightness [h, w, 1] that falls off across the photo."""
    x, y = (np.linspace(-1, 1, side, dtype=np.float32) for side in size)
    angle = rng.uniform(0, 2 * np.pi)
    slope = (x * np.float32(np.cos(angle)))[None] + (y * np.float32(np.sin(angle)))[:, None]
    return np.clip(0.8 + 0.5 * slope, 0.2, 1.2)[..., None]


def _texture(size: tuple[int, int], rng: np.random.Generator) -> NDArray[np.float32]:
    """Clouds [h, w, 1] of two grain sizes, around 1."""
    total = np.ones((size[1], size[0], 1), np.float32)
    for cells in (6, 60):
        grain = Image.fromarray(rng.normal(0, 0.18, (cells, cells)).astype(np.float32))
        total += np.asarray(grain.resize(size, Image.Resampling.BICUBIC))[..., None]
    return total


def write_photos(
    folder: Path,
    per_class: int,
    *,
    unlabelled: int = 0,
    size: tuple[int, int] = SIZE,
    seed: int = 0,
) -> Path:
    """JPEG files in one sub-folder per kind, every third upright; and ``unlabelled`` ones."""
    names = [(kind, i) for kind in KINDS for i in range(per_class)]
    names += [("unlabelled", i) for i in range(unlabelled)]
    for number, (name, i) in enumerate(names):
        kind = [*KINDS][i % len(KINDS)] if name == "unlabelled" else name
        photo = draw_photo(kind, seed + number, size[::-1] if i % 3 == 2 else size)
        (folder / name).mkdir(parents=True, exist_ok=True)
        photo.save(folder / name / f"{i:03d}.jpg", quality=88)
    return folder


if __name__ == "__main__":
    import sys

    where = Path(sys.argv[1])
    write_photos(where / "photos", 20, unlabelled=100)
    write_photos(where / "new", 5, seed=1000)
    print(f"180 photos of {len(KINDS)} classes in {where}/photos, 20 others in {where}/new")
