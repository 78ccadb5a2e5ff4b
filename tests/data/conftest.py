"""Small image files, written by the tests that read them."""

from collections.abc import Callable
from io import BytesIO
from pathlib import Path

import pytest
from PIL import Image

MakeImage = Callable[..., bytes]


def _make_image(value: int = 0, size: tuple[int, int] = (8, 8), kind: str = "PNG") -> bytes:
    out = BytesIO()
    Image.new("RGB", size, (value, 255 - value, 7)).save(out, kind)
    return out.getvalue()


@pytest.fixture(scope="session")
def make_image() -> MakeImage:
    """``make_image(value, (width, height), format)``: one plain image as the bytes of a file."""
    return _make_image


@pytest.fixture(scope="session")
def plant() -> Callable[[Path, str], Path]:
    """``plant(root, "a/1.png a/2.png")``: image files, and the folders they need, under root.

    A name that ends with ``/`` is an empty folder.
    """

    def write(root: Path, names: str) -> Path:
        root.mkdir(parents=True, exist_ok=True)
        for i, name in enumerate(names.split()):
            path = root / name
            if name.endswith("/"):
                path.mkdir(parents=True, exist_ok=True)
                continue
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(_make_image(i % 256))
        return root

    return write
