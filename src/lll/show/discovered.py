"""What `lll discover` leaves in a folder: a CSV, a contact sheet per proposed class, a page."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from lll.runs.discover import Discovery, Pool, Proposal
from lll.runs.files import AGAIN, says_when_full, write_whole
from lll.show.plots.page import Html, page, picture, table, tag
from lll.words import count, csv_text, decimal, percent

COLUMNS, ROWS = 8, 6
SIDE, GAP = 96, 4  # pixels
CSV, PAGE = "discovered.csv", "discovered.html"


def write_discovery(pool: Pool, found: Discovery, out: Path, summary: str) -> list[Path]:
    """Write all that `lll discover` shows into the folder ``out``; the paths.

    Contact sheets of an earlier discovery there are removed. Raises UserError if ``out`` cannot
    be written.
    """
    with says_when_full(out, AGAIN):
        out.mkdir(parents=True, exist_ok=True)
        for stale in out.glob("new-*.png"):
            stale.unlink()
    sheets = {each.name: contact_sheet(pool, each) for each in found.proposals}
    files = {CSV: as_csv(pool, found), PAGE: _as_page(pool, found, sheets, summary)}
    files |= {f"{name}.png": png for name, png in sheets.items()}
    for name, content in files.items():
        write_whole(out / name, content)
    return [out / name for name in files]


def as_csv(pool: Pool, found: Discovery) -> bytes:
    """``path,class,distance`` of each unlabelled image, in the order of the data."""
    names = (found.names[each] for each in found.of)
    rows = zip(pool.ids[found.rows], names, found.distance, strict=True)
    lines = [(str(path), name, f"{distance:.4f}") for path, name, distance in rows]
    return csv_text([("path", "class", "distance"), *lines]).encode(errors="backslashreplace")


def contact_sheet(pool: Pool, proposal: Proposal) -> bytes:
    """A PNG of images of ``proposal``: the most typical first, then ever less typical ones."""
    most = COLUMNS * ROWS
    at = np.linspace(0, len(proposal.rows) - 1, min(most, len(proposal.rows))).astype(np.intp)
    rows = proposal.rows[at]
    order = np.argsort(rows)
    images = np.empty((len(rows), *pool.images.shape[1:]), dtype=np.uint8)
    images[order] = np.asarray(pool.images[rows[order]])
    return _grid(images)


def _grid(images: NDArray[np.uint8]) -> bytes:
    """``images`` [n, h, w, 3] in rows of `COLUMNS`, as PNG."""
    step = SIDE + GAP
    sheet = Image.new(
        "RGB", (COLUMNS * step - GAP, -(-len(images) // COLUMNS) * step - GAP), "white"
    )
    for number, pixels in enumerate(images):
        small = Image.fromarray(pixels).resize((SIDE, SIDE), Image.Resampling.BICUBIC)
        sheet.paste(small, (number % COLUMNS * step, number // COLUMNS * step))
    buffer = io.BytesIO()
    sheet.save(buffer, "PNG")
    return buffer.getvalue()


def overview(found: Discovery) -> list[tuple[str, str, str, str]]:
    """Rows of class, images, purity and mean distance: known classes, then proposals."""
    pure = {each.name: percent(each.purity, 0) for each in found.proposals}
    rows = []
    for number, name in enumerate(found.names):
        mine = found.distance[found.of == number]
        distance = decimal(float(mine.mean()) if len(mine) else None, 2)
        rows.append((name, count(len(mine)), pure.get(name, "known"), distance))
    return rows


def _as_page(pool: Pool, found: Discovery, sheets: dict[str, bytes], summary: str) -> bytes:
    head = ("class", "images", "purity", "mean distance")
    sections: dict[str, Html] = {"Overview": table(head, overview(found), "Unlabelled images")}
    for each in found.proposals:
        said = f"{count(len(each.rows), 'image')}, purity {percent(each.purity, 0)}"
        shown = picture(sheets[each.name], f"images of {each.name}")
        sections[each.name] = Html(tag("p", said) + shown)
    return page(f"Discovered in {pool.where}", tag("p", summary), sections).encode(
        errors="backslashreplace"
    )
