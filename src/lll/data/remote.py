"""Data elsewhere: ``s3://``, ``gs://``, ``memory://`` and all that fsspec knows.

It is copied into the cache folder, where it is data like any other. What has not changed since
the last time is not copied again.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterator, Mapping
from pathlib import Path, PurePosixPath
from typing import Any

from lll.data.formats import is_image
from lll.data.locks import alone
from lll.errors import UserError

# What tells one state of a file from another; each kind of storage has some of them.
_STATE = {"size", "etag", "mtime", "lastmodified", "last_modified", "updated", "md5", "created"}
Listing = Mapping[str, Mapping[str, Any]]
"""Paths below a root, and what the storage says of each file."""


def is_remote(source: str | Path) -> bool:
    """Whether ``source`` is written as a place of fsspec's.

    >>> is_remote("s3://bucket/photos"), is_remote("photos"), is_remote("C:/photos")
    (True, False, False)
    """
    return re.match(r"[a-z][a-z0-9+.-]+://", str(source)) is not None


def copied(source: str, cache: Path) -> Path:
    """The folder or file ``source`` as it is now, copied into a folder of ``cache``.

    Files that are gone at the source go from the copy too. Of several processes one copies.
    Raises UserError for a place that cannot be read or holds nothing.
    """
    system, root = _open(source)
    home = cache / "remote" / hashlib.sha256(source.encode()).hexdigest()[:24]
    with alone(home / ".lock"):
        files = _listed(system, root, source)
        target = home / (PurePosixPath(root).name or "data")
        _copy(system, root, files, target, home / "states.json")
    return target


def first_files(source: str, most: int) -> Iterator[tuple[str, Any]]:
    """Suffix and content of ``source`` if it is a file, else of its first table, or images.

    Nothing is copied, and of a large file only what is read is fetched.
    """
    system, root = _open(source)
    names = list(_listed(system, root, source))
    suffixes = {name: PurePosixPath(name or root).suffix.lower() for name in names}
    tables = [name for name in names if suffixes[name] == ".parquet"]
    chosen = tables[:1] or [name for name in names if not name or is_image(name)][:most]
    for name in chosen:
        with system.open(_place(root, name), "rb") as file:
            yield suffixes[name] if name in tables or not name else "", file


def _open(source: str) -> tuple[Any, str]:
    """The storage of ``source``, and the path in it."""
    from fsspec.core import url_to_fs

    try:
        system, root = url_to_fs(source)
    except ImportError as error:  # its message names the package
        raise UserError(f"{source}: {error}") from None
    except ValueError as error:
        raise UserError(f"{source}: {error}: check what stands before ://") from None
    return system, str(root).rstrip("/")


def _listed(system: Any, root: str, source: str) -> Listing:
    """The files below ``root`` by name, sorted; of a file that one alone, with the name ""."""
    try:
        system.invalidate_cache()
        found = system.find(root, detail=True)
    # What a storage raises for a place that is away or not ours has no common class.
    except Exception as error:
        reason = next(iter(str(error).splitlines()), type(error).__name__)
        raise UserError(f"{source} cannot be read: {reason}: check the name and your rights") from (
            error
        )
    names = {place: place.removeprefix(root).lstrip("/") for place in found}
    for name in names.values():
        if ".." in name.split("/") or "\\" in name or "\0" in name:
            raise UserError(f"{source} holds {name!r}, which leaves it: give it another name")
    if not names:
        raise UserError(f"{source} does not exist, or holds nothing: check the name")
    return {names[place]: found[place] for place in sorted(found)}


def _place(root: str, name: str) -> str:
    return f"{root}/{name}" if name else root


def _copy(system: Any, root: str, files: Listing, target: Path, states: Path) -> None:
    """Make ``target`` what ``files`` are; ``states`` remembers which state of each is there."""
    known = json.loads(states.read_text("utf-8")) if states.is_file() else {}
    now = {name: _state(about) for name, about in files.items()}
    for name in known.keys() - now.keys():
        (target / name).unlink(missing_ok=True)
    for name, state in now.items():
        place = target / name if name else target
        if known.get(name) != state or not place.is_file():
            place.parent.mkdir(parents=True, exist_ok=True)
            part = place.with_name(f".{place.name}.part")
            system.get_file(_place(root, name), str(part))
            part.replace(place)
    states.write_text(json.dumps(now), encoding="utf-8")


def _state(about: Mapping[str, Any]) -> str:
    return str(sorted((key, str(v)) for key, v in about.items() if key.lower() in _STATE))
