"""What an image is known by when its file is moved: its size in bytes and a hash of them."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Collection, Mapping
from pathlib import Path

from lll.errors import UserError

HASH_BYTES = 16
CHUNK_BYTES = 2**20


def content_of(path: Path) -> str:
    """``size-hash`` of the bytes of the file ``path``; UserError if it cannot be read."""
    digest, size = hashlib.blake2b(digest_size=HASH_BYTES), 0
    try:
        with path.open("rb") as file:
            while chunk := file.read(CHUNK_BYTES):
                digest.update(chunk)
                size += len(chunk)
    except OSError as error:
        raise UserError(f"{path}: cannot be read ({error.strerror}): check the path") from None
    return f"{size}-{digest.hexdigest()}"


def found_again(
    labelled: Mapping[str, str], sizes: Mapping[str, int], content: Callable[[str], str]
) -> dict[str, str]:
    """Where the images of labels are now: their old paths to the new ones.

    ``labelled`` maps a path to the content that was labelled, ``sizes`` every image of the
    folder to its bytes, and ``content`` reads one. A label stays with its path while the content
    there is the same; else it goes to a path that has that content, and no label of its own.
    Only files of the right size are read. An image whose content is gone is left out.
    """
    size_of = {path: int(text.split("-")[0]) for path, text in labelled.items()}
    same_size = [path for path, size in size_of.items() if sizes.get(path) == size]
    found = {path: path for path in same_size if content(path) == labelled[path]}
    lost = {path: text for path, text in labelled.items() if path not in found}
    wanted = {size_of[path] for path in lost}
    free = [path for path, size in sorted(sizes.items()) if size in wanted and path not in found]
    return found | _moved(lost, free, content)


def _moved(
    lost: Mapping[str, str], free: Collection[str], content: Callable[[str], str]
) -> dict[str, str]:
    at: dict[str, list[str]] = {}
    for path in free:
        at.setdefault(content(path), []).append(path)
    return {path: at[text].pop(0) for path, text in sorted(lost.items()) if at.get(text)}
