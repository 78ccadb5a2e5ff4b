"""One way out of memory for every picture: PNG for looking, SVG for zooming and printing."""

from __future__ import annotations

import io
import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lll.errors import UserError
from lll.runs.files import AGAIN, check_target, says_when_full, write_whole

if TYPE_CHECKING:
    from matplotlib.figure import Figure

DOTS_PER_INCH = 150
# Of these, those that are installed show names that matplotlib's own font has no signs for.
_OTHER_FONTS = ("Noto Sans CJK JP", "Noto Sans Arabic", "Noto Sans Devanagari", "Arial Unicode MS")


def save(figure: Figure, path: Path) -> tuple[Path, Path]:
    """Write ``figure`` to ``path`` with .png and with .svg added; both paths.

    Equal figures give equal files. Raises UserError if they cannot be written.
    """
    with says_when_full(path.parent, AGAIN):
        path.parent.mkdir(parents=True, exist_ok=True)
    png, svg = (path.with_name(f"{path.name}.{kind}") for kind in ("png", "svg"))
    write_whole(png, picture_bytes(figure, "png"))
    figure.set_layout_engine("none")  # it is laid out: both files are alike
    write_whole(svg, picture_bytes(figure, "svg"))
    return png, svg


def save_as(figure: Figure, path: Path) -> Path:
    """Write ``figure`` to ``path``, whose suffix (.png, .svg or .pdf) says the format.

    Raises UserError for another suffix, and if it cannot be written.
    """
    write_whole(path, picture_bytes(figure, check_picture(path)))
    return path


def check_picture(path: Path) -> str:
    """The format that the name ``path`` says; UserError if no picture can be written there."""
    kind = path.suffix.removeprefix(".").lower()
    if kind not in ("png", "svg", "pdf"):
        raise UserError(f"{path}: the name of a picture must end in .png, .svg or .pdf")
    check_target(path)
    return kind


def picture_bytes(figure: Figure, kind: str) -> bytes:
    """``figure`` as a file in memory; ``kind`` is ``png``, ``svg`` or ``pdf``."""
    import matplotlib

    settings: dict[Any, Any] = {
        # Text stays text, so that it can be searched, and any script is shown by a browser.
        "svg.fonttype": "none",
        "svg.hashsalt": "lll",
        "font.family": ["DejaVu Sans", *_installed(_OTHER_FONTS)],
    }
    dates = {"svg": {"Date": None}, "pdf": {"CreationDate": None}}
    buffer = io.BytesIO()
    with matplotlib.rc_context(settings), warnings.catch_warnings():
        # A class name in a script without an installed font shows boxes; that is no failure.
        warnings.filterwarnings("ignore", "Glyph .* missing from", UserWarning)
        figure.savefig(buffer, format=kind, dpi=DOTS_PER_INCH, metadata=dates.get(kind))
    return buffer.getvalue()


def _installed(fonts: tuple[str, ...]) -> list[str]:
    from matplotlib import font_manager

    there = {font.name for font in font_manager.fontManager.ttflist}
    return [font for font in fonts if font in there]
