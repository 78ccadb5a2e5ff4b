"""How large the images of a source are, from a look at the first few."""

from __future__ import annotations

import io
import os
import zipfile
from collections.abc import Iterator
from contextlib import suppress
from itertools import islice
from pathlib import Path
from statistics import median
from typing import Any

from lll.data.remote import first_files, is_remote

LOOKED_AT = 25  # images
NAMED_SIDE = 32  # pixels, of the data sets that have a name


def typical_side(source: str | Path) -> int | None:
    """The shorter side in pixels that the first images at the path ``source`` typically have.

    None for a data set with a name, and where nothing can be told; whoever loads the data
    says what is wrong with it.
    """
    path = Path(source).expanduser()
    remote = is_remote(source)
    if not remote and not path.exists():
        return None
    with suppress(Exception):  # of damaged files; loading them says so
        looked_at = first_files(str(source), LOOKED_AT) if remote else _files(path)
        every = (side for suffix, file in looked_at for side in _sides(suffix, file))
        sides = list(islice(every, LOOKED_AT))
        return int(median(sides)) if sides else None
    return None


def side_for(source: str | Path, size: int) -> int:
    """The side to keep images of ``source`` at for an encoder that takes ``size`` pixels.

    Smaller images are kept as they are, and made larger where they are encoded.
    """
    return min(size, typical_side(source) or NAMED_SIDE)


def _files(path: Path) -> Iterator[tuple[str, Any]]:
    """The files to look at, and their suffixes: ``path``, or its first table, or its images."""
    if path.is_file():
        yield path.suffix.lower(), path
    elif tables := sorted(path.rglob("*.parquet")):
        yield ".parquet", tables[0]
    else:
        for folder, folders, names in os.walk(path):
            folders[:] = sorted(name for name in folders if not name.startswith("."))
            for name in sorted(names):
                if not name.startswith(".") and (Path(folder) / name).is_file():
                    yield "", Path(folder) / name


def _sides(suffix: str, file: Any) -> Iterator[int]:
    """The shorter sides of the images in ``file``, a path or an open file."""
    if suffix == ".npz":
        yield from _sides_of_npz(file)
    elif suffix == ".parquet":
        yield from _sides_of_parquet(file)
    elif suffix == ".zip":
        with zipfile.ZipFile(file) as archive:
            for name in archive.namelist():
                with archive.open(name) as member:
                    yield from _side(io.BytesIO(member.read(2**20)))
    else:
        yield from _side(file)


def _side(image: Any) -> Iterator[int]:
    from PIL import Image

    from lll.data.formats import FORMATS

    with suppress(Exception), Image.open(image, formats=FORMATS) as opened:
        yield min(opened.size)


def _sides_of_parquet(path: Any) -> Iterator[int]:
    import pyarrow.parquet as pq

    for batch in pq.ParquetFile(path).iter_batches(batch_size=LOOKED_AT):
        for row in batch.to_pylist():
            for cell in row.values():
                content = cell.get("bytes") if isinstance(cell, dict) else cell
                if isinstance(content, bytes):
                    yield from _side(io.BytesIO(content))


def _sides_of_npz(path: Any) -> Iterator[int]:
    from numpy.lib import format as npy

    with zipfile.ZipFile(path) as archive:
        for name in archive.namelist():
            with archive.open(name) as member:
                version = npy.read_magic(member)
                read = npy.read_array_header_1_0 if version == (1, 0) else npy.read_array_header_2_0
                shape = read(member)[0]
                if len(shape) in (3, 4) and "image" in name:
                    yield min(shape[1:3])
