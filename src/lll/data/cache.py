"""Decoded images kept in files, so that a source is decoded once and from then on read.

In ``<cache>/decoded/<key>/``, where the key stands for the source and how it is wanted::

    pixels.bin   uint8 [n, size, size, 3]: training, then validation, then test images
    labels.npy   int64 [n]
    ids.npy      str [n]
    meta.json    names and counts, the state of the source, and checksums

A folder appears under its key when it is whole. It is rebuilt when the source has changed
or when what is in it is not what was written.
"""

from __future__ import annotations

import hashlib
import json
import logging
import math
import shutil
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import asdict, replace
from itertools import accumulate
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lll.data.assemble import Options
from lll.data.fingerprint import fingerprint
from lll.data.formats import is_image, suffix_of
from lll.data.imageset import DataSet, ImageSet, Skipped, Unused
from lll.data.locks import alone
from lll.data.pixels import StoreError
from lll.data.rows import Rows
from lll.data.walk import HIDDEN, Entry

FORMAT = 2  # of the files, and of what decoding makes of an image
COPY_BYTES = 16 * 2**20  # at a time
# What a source may be read from, beside images; other files may change.
STAMPED = frozenset({"", ".csv", ".jsonl", ".parquet"})

Decode = Callable[[Options], DataSet]


class _DamagedError(Exception):
    """What is in the cache is not what was written."""


def cache_folder(cache: Path | None) -> Path:
    """``cache``, or the user's cache folder for ``lll``."""
    if cache is not None:
        return cache
    import pooch

    return Path(pooch.os_cache("lll"))


def load_cached(
    source: str, stamp: str, decode: Decode, options: Options, cache: Path | None
) -> DataSet:
    """What ``decode(options)`` gives, decoded at most once for each ``source`` and ``stamp``.

    ``source`` names it among all sources, ``stamp`` changes when its content does. The images
    stay in their file. Where the cache folder cannot be written they are decoded into
    memory, and a warning is logged that says so. Raises what ``decode`` raises.
    """
    place = cache_folder(cache) / "decoded" / _key(source, options)
    try:
        data = _kept(place, stamp, says=False) or _build(place, stamp, decode, options)
    except (OSError, StoreError) as error:
        reason = getattr(error, "strerror", None) or error
        logging.getLogger("lll").warning(
            "%s cannot keep decoded images (%s): they are decoded into memory, and anew next"
            " time; make room there, or choose another folder with --cache FOLDER",
            place.parent,
            reason,
        )
        return decode(options)
    # Kept by a load that was not strict: decoding anew says which image is at fault.
    return decode(options) if options.strict and data.skipped else data


def stamp_of(path: Path, entries: Sequence[Entry]) -> str:
    """A hash of the size and the time of change of ``path``, or of the ``entries`` of a folder."""
    digest = hashlib.blake2b(digest_size=16)
    digest.update(str(path.resolve()).encode(errors="surrogateescape"))
    for entry in entries if path.is_dir() else [Entry("", status=path.stat())]:
        if entry.folder:  # its own time changes with files that do not matter
            digest.update(f"{entry.path}/\n".encode())
        elif entry.reason != HIDDEN and (suffix_of(entry.path) in STAMPED or is_image(entry.path)):
            known = (entry.status.st_size, entry.status.st_mtime_ns) if entry.status else None
            digest.update(f"{entry.path}\0{known}\n".encode())
    return digest.hexdigest()


def _key(source: str, options: Options) -> str:
    parts = [FORMAT, source, options.image_size, options.resize, options.test_share]
    return hashlib.blake2b(json.dumps(parts).encode(), digest_size=16).hexdigest()


def _kept(place: Path, stamp: str, *, says: bool = True) -> DataSet | None:
    """What is kept at ``place`` for ``stamp``, if it is whole; damage is logged if it ``says``."""
    try:
        return _read(place, stamp)
    except _DamagedError as error:
        if says:
            logging.getLogger("lll").warning(
                "%s is damaged (%s): the images are decoded anew", place, error
            )
        return None


def _build(place: Path, stamp: str, decode: Decode, options: Options) -> DataSet:
    """Decode into a folder beside ``place``, which takes its place when it is whole."""
    with alone(place.with_name(f".{place.name}.lock")):
        data = _kept(place, stamp)  # by a process that was before this one
        if data is not None:
            return data
        for left in place.parent.glob(f".{place.name}.*.tmp"):  # by a process that was killed
            shutil.rmtree(left, ignore_errors=True)
        work = _temporary(place)
        try:
            _write(work, decode(replace(options, store=work / "decoded.bin")), stamp)
            _swap(work, place)
        finally:
            shutil.rmtree(work, ignore_errors=True)
        data = _kept(place, stamp)
    if data is None:
        raise StoreError("what was written there cannot be read back")
    return data


def _temporary(place: Path) -> Path:
    return Path(tempfile.mkdtemp(prefix=f".{place.name}.", suffix=".tmp", dir=place.parent))


def _swap(work: Path, place: Path) -> None:
    """``work`` under the name of ``place``; what was there before is removed."""
    if place.exists():
        old = _temporary(place)
        place.rename(old / "old")
        work.rename(place)
        shutil.rmtree(old, ignore_errors=True)
    else:
        work.rename(place)


def _write(work: Path, data: DataSet, stamp: str) -> None:
    _order_pixels(work, data)
    parts = data.parts.values()
    np.save(work / "labels.npy", np.concatenate([part.labels for part in parts]))
    np.save(work / "ids.npy", np.concatenate([part.ids for part in parts]))
    facts = {
        "name": data.name,
        "class_names": data.class_names,
        "shape": [sum(map(len, parts)), *data.train.images.shape[1:]],
        "parts": {split: len(part) for split, part in data.parts.items()},
        "skipped": [asdict(skip) for skip in data.skipped],
        "unused": [asdict(unused) for unused in data.unused],
        "stamp": stamp,
        "fingerprint": fingerprint(data),
    }
    (work / "meta.json").write_text(json.dumps({**facts, "checksum": _checksum(facts)}))


def _order_pixels(work: Path, data: DataSet) -> None:
    """The images of each split together; where they were decoded so, nothing is copied."""
    decoded, ordered = work / "decoded.bin", work / "pixels.bin"
    parts = data.parts.values()
    order = [part.images.at for part in parts if isinstance(part.images, Rows)]
    if decoded.exists() and np.array_equal(np.concatenate(order), np.arange(sum(map(len, parts)))):
        decoded.rename(ordered)
        return
    rows = max(1, COPY_BYTES // math.prod(data.train.images.shape[1:]))
    with ordered.open("wb") as file:
        for part in parts:
            for start in range(0, len(part), rows):
                file.write(np.ascontiguousarray(part.images[start : start + rows]).data)
    decoded.unlink(missing_ok=True)


def _read(place: Path, stamp: str) -> DataSet | None:
    """The data set at ``place``; None if there is none, or one of another ``stamp``."""
    if not place.exists():
        return None
    try:
        facts = json.loads((place / "meta.json").read_bytes())
        if facts.pop("checksum") != _checksum(facts):
            raise _DamagedError("meta.json has the wrong checksum")
        if facts["stamp"] != stamp:
            return None
        data = _opened(place, facts)
    except _DamagedError:
        raise
    # A damaged file makes json and numpy raise nearly anything.
    except Exception as error:
        raise _DamagedError(f"{type(error).__name__}: {error}") from error
    if fingerprint(data) != facts["fingerprint"]:
        raise _DamagedError("its content has the wrong checksum")
    return data.with_fingerprint(facts["fingerprint"])


def _opened(place: Path, facts: dict[str, Any]) -> DataSet:
    shape = tuple(facts["shape"])
    file = place / "pixels.bin"
    if file.stat().st_size != np.prod(shape, dtype=np.int64):
        raise _DamagedError(f"pixels.bin has {file.stat().st_size} bytes")
    pixels = Rows.of(np.memmap(file, np.uint8, "r", shape=shape))
    labels: NDArray[np.int64] = np.load(place / "labels.npy", allow_pickle=False)
    ids: NDArray[np.str_] = np.load(place / "ids.npy", allow_pickle=False)
    rows = ImageSet(pixels, labels, ids)
    ends = accumulate(facts["parts"].values())
    parts = {
        split: rows.take(np.arange(end - count, end))
        for (split, count), end in zip(facts["parts"].items(), ends, strict=True)
    }
    return DataSet(
        facts["name"],
        tuple(facts["class_names"]),
        **parts,
        skipped=tuple(Skipped(**skip) for skip in facts["skipped"]),
        unused=tuple(Unused(**unused) for unused in facts["unused"]),
    )


def _checksum(facts: dict[str, Any]) -> str:
    text = json.dumps(facts, sort_keys=True)
    return hashlib.blake2b(text.encode(), digest_size=16).hexdigest()
