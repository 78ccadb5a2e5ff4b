"""Decoded images kept in files, so that a source is decoded once and from then on read.

In ``<cache>/decoded/<key>/``, where the key stands for the source and how it is wanted::

    pixels.bin   uint8 [n, size, size, 3]: training, then validation, then test images
    labels.npy   int64 [n]
    ids.npy      str [n]
    states.npy   int64 [n] the state that each image's file was in; 0 where it has none
    meta.json    names and counts, the state of the source and of these files, and checksums

A folder appears under its key when it is whole. It is rebuilt when the source has changed,
when what is in it is not what was written, or when an image could not be read for a reason
that is not in its file. What is whole in it is taken over then: only images whose files have
changed are decoded. The content is read to be checked only where the files are others than
those written, such as copies.
"""

from __future__ import annotations

import hashlib
import json
import logging
import math
import os
import secrets
import shutil
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, replace
from functools import partial
from itertools import accumulate
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lll.data.assemble import Options
from lll.data.decoding import Known
from lll.data.fingerprint import array_hash, fingerprint
from lll.data.formats import is_image, suffix_of
from lll.data.imageset import DataSet, ImageSet, Skipped, Unused
from lll.data.locks import alone
from lll.data.pixels import StoreError
from lll.data.rows import Rows
from lll.data.walk import HIDDEN, Entry

FORMAT = 5  # of the files, and of what decoding makes of an image
COPY_BYTES = 16 * 2**20  # at a time
FILES = ("pixels.bin", "labels.npy", "ids.npy")
# What a source may be read from, beside images; other files may change.
STAMPED = frozenset({"", ".csv", ".jsonl", ".parquet"})

Decode = Callable[[Options], DataSet]
States = Callable[[], Mapping[str, int]]
"""The state of each file by the id of its image; asked for only when something is decoded."""


class _DamagedError(Exception):
    """What is in the cache is not what was written."""


def cache_folder(cache: Path | None) -> Path:
    """``cache``, or the user's cache folder for ``lll``."""
    if cache is not None:
        return cache
    import pooch

    return Path(pooch.os_cache("lll"))


def load_cached(
    source: str,
    stamp: str,
    decode: Decode,
    options: Options,
    cache: Path | None,
    states: States = dict,
) -> DataSet:
    """What ``decode(options)`` gives, decoded at most once for each ``source`` and ``stamp``.

    ``source`` names it among all sources, ``stamp`` changes when its content does, and one of
    ``states`` when that of one image does. The images
    stay in their file. Where the cache folder cannot be written they are decoded into
    memory, and a warning is logged that says so. Raises what ``decode`` raises.
    """
    place = cache_folder(cache) / "decoded" / _key(source, options)
    stamp = f"{FORMAT} {stamp}"
    try:
        data = _kept(place, stamp, says=False) or _build(place, stamp, decode, options, states)
    except (OSError, StoreError) as error:
        reason = getattr(error, "strerror", None) or error
        logging.getLogger("lll").warning(
            "%s cannot keep decoded images (%s): they are decoded into memory, and again next"
            " time; make room there, or choose another folder with --cache FOLDER",
            place.parent,
            reason,
        )
        return decode(options)
    # Kept by a load that was not strict: decoding anew says which image is at fault.
    return decode(options) if options.strict and data.skipped else data


def stamp_of(path: Path, entries: Sequence[Entry]) -> str:
    """A hash of which file ``path`` is, its size and times, or of those of its ``entries``."""
    digest = hashlib.blake2b(digest_size=16)
    digest.update(str(path.resolve()).encode(errors="surrogateescape"))
    for entry in entries if path.is_dir() else [Entry("", status=path.stat())]:
        if entry.folder:  # its own time changes with files that do not matter
            digest.update(f"{entry.path}/\n".encode())
        elif entry.reason != HIDDEN and (suffix_of(entry.path) in STAMPED or is_image(entry.path)):
            known = identity(entry.status) if entry.status else None
            digest.update(f"{entry.path}\0{known}\n".encode())
    return digest.hexdigest()


def identity(status: os.stat_result) -> tuple[int, ...]:
    """What is another as soon as a file is replaced, swapped or written to.

    A program may set size and time of the content (``st_mtime``) to what they were; the system
    alone sets the time of change.
    """
    return (
        status.st_dev,
        status.st_ino,
        status.st_size,
        status.st_mtime_ns,
        status.st_ctime_ns,
    )


def state_of(status: os.stat_result) -> int:
    """A number that stands for `identity`."""
    digest = hashlib.blake2b(repr(identity(status)).encode(), digest_size=8)
    return int.from_bytes(digest.digest(), "little", signed=True)


def _key(source: str, options: Options) -> str:
    parts = [source, options.image_size, options.resize, options.test_share]
    return hashlib.blake2b(json.dumps(parts).encode(), digest_size=16).hexdigest()


def _kept(place: Path, stamp: str | None, *, says: bool = True) -> DataSet | None:
    """What is whole at ``place``, for ``stamp`` (None: any); it ``says`` what is damaged."""
    try:
        return _read(place, stamp)
    except _DamagedError as error:
        if says:
            logging.getLogger("lll").warning(
                "%s is damaged (%s): the images are decoded again", place, error
            )
        return None


def _build(place: Path, stamp: str, decode: Decode, options: Options, states: States) -> DataSet:
    """Decode into a folder beside ``place``, which takes its place when it is whole."""
    with alone(place.with_name(f".{place.name}.lock")):
        data = _kept(place, stamp)  # by a process that was before this one
        if data is not None:
            return data
        for left in place.parent.glob(f".{place.name}.*.tmp"):  # by a process that was killed
            shutil.rmtree(left, ignore_errors=True)
        work = _temporary(place)
        try:
            now = states()
            known = _known(place, now)
            decoded = decode(replace(options, store=work / "decoded.bin", known=known))
            if any(skip.passing for skip in decoded.skipped):
                stamp = f"{FORMAT} "  # of no state of the source: it is read anew next time
            _write(work, decoded, stamp, now)
            _swap(work, place)
        finally:
            shutil.rmtree(work, ignore_errors=True)
        data = _kept(place, stamp)
    if data is None:
        raise StoreError("what was written there cannot be read back")
    return data


def _known(place: Path, now: Mapping[str, int]) -> dict[str, Known]:
    """Readers of the images at ``place`` whose files are ``now`` in the state they were in."""
    if not now or not (data := _kept(place, None, says=False)):
        return {}
    try:
        then = np.load(place / "states.npy", allow_pickle=False).tolist()
        at = zip(_rows_of(data), then, strict=True)
    except (OSError, ValueError):  # absent or damaged
        return {}
    return {
        name: partial(images.__getitem__, row)
        for (name, images, row), state in at
        if state and now.get(name) == state
    }


def _rows_of(data: DataSet) -> list[tuple[str, NDArray[np.uint8] | Rows, int]]:
    """Id, images and row of every image."""
    return [
        (name, part.images, row)
        for part in data.parts.values()
        for row, name in enumerate(part.ids.tolist())
    ]


def _temporary(place: Path) -> Path:
    """A new folder beside ``place``, for whom the user's umask says; `tempfile` asks nobody."""
    folder = place.with_name(f".{place.name}.{secrets.token_hex(8)}.tmp")
    folder.mkdir()
    return folder


def _swap(work: Path, place: Path) -> None:
    """``work`` under the name of ``place``; what was there before is removed."""
    if place.exists():
        old = _temporary(place)
        place.rename(old / "old")
        work.rename(place)
        shutil.rmtree(old, ignore_errors=True)
    else:
        work.rename(place)


def _write(work: Path, data: DataSet, stamp: str, states: Mapping[str, int]) -> None:
    _order_pixels(work, data)
    parts = data.parts.values()
    labels = np.concatenate([part.labels for part in parts])
    np.save(work / "labels.npy", labels)
    ids = np.concatenate([part.ids for part in parts])
    np.save(work / "ids.npy", ids)
    then = [states.get(name, 0) for name in ids.tolist()]
    np.save(work / "states.npy", np.array(then, dtype=np.int64))
    facts = {
        "name": data.name,
        "class_names": data.class_names,
        "shape": [sum(map(len, parts)), *data.train.images.shape[1:]],
        "parts": {split: len(part) for split, part in data.parts.items()},
        "skipped": [asdict(skip) for skip in data.skipped],
        "unused": [asdict(unused) for unused in data.unused],
        "stamp": stamp,
        "fingerprint": fingerprint(data),
        "labels": array_hash(labels),
    }
    _write_meta(work, facts)


def _write_meta(place: Path, facts: dict[str, Any]) -> None:
    """``facts`` of the files at ``place`` as they now are."""
    facts = {**facts, "files": _identities(place)}
    written = place / "meta.tmp"
    written.write_text(json.dumps({**facts, "checksum": _checksum(facts)}))
    written.replace(place / "meta.json")


def _identities(place: Path) -> list[list[int]]:
    return [list(identity((place / name).stat())) for name in FILES]


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


def _read(place: Path, stamp: str | None) -> DataSet | None:
    """The data set at ``place``; None if there is none, or one of another ``stamp`` or format."""
    if not place.exists():
        return None
    try:
        facts = json.loads((place / "meta.json").read_bytes())
        if facts.pop("checksum") != _checksum(facts):
            raise _DamagedError("meta.json has the wrong checksum")
        wanted = facts["stamp"] if stamp is None else stamp
        if facts["stamp"] != wanted or wanted.split(" ")[0] != str(FORMAT):
            return None
        data = _opened(place, facts)
        # Looked at after they were opened: no other process has changed them in between.
        if facts["files"] != _identities(place):
            _check_content(data, facts)
            with suppress(OSError):  # somebody else's
                _write_meta(place, facts)
    except _DamagedError:
        raise
    # A damaged file makes json and numpy raise nearly anything.
    except Exception as error:
        raise _DamagedError(f"{type(error).__name__}: {error}") from error
    return data.with_fingerprint(facts["fingerprint"])


def _check_content(data: DataSet, facts: dict[str, Any]) -> None:
    if fingerprint(data) != facts["fingerprint"]:
        raise _DamagedError("its images or ids have the wrong checksum")
    if array_hash(np.concatenate([part.labels for part in data.parts.values()])) != facts["labels"]:
        raise _DamagedError("its labels have the wrong checksum")


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
    parts: dict[str, Any] = {
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
