"""One file from the network: within limits, checked, and there whole or not at all."""

from __future__ import annotations

import hashlib
import time
from pathlib import Path
from typing import IO, Protocol

from lll.data.locks import alone

MAX_BYTES = 512 * 2**20  # no data set that is fetched is half as large
MAX_S = 3600
SILENT_S = 30  # without a single byte
CHUNK_BYTES = 2**16


class Progress(Protocol):
    """Told of a download as it goes; ``total_bytes`` is 0 where the server does not say."""

    def __call__(self, done_bytes: int, total_bytes: int) -> None:
        """Called after every chunk."""


class DownloadError(Exception):
    """Why a file could not be fetched."""


def download(url: str, sha256: str, path: Path, progress: Progress | None = None) -> None:
    """Fetch ``url`` to ``path`` unless a file of that checksum is there.

    Of several processes one fetches it. What one that was killed has left is overwritten.
    Raises DownloadError with the reason, and OSError where ``path`` cannot be written.
    """
    if _is_there(path, sha256):
        return
    with alone(path.with_name(f".{path.name}.lock")):
        if _is_there(path, sha256):
            return
        part = path.with_name(f".{path.name}.part")
        try:
            with part.open("wb") as file:
                found = _receive(url, file, progress)
            if found != sha256:
                raise DownloadError("it came with the wrong checksum, so truncated or changed")
            part.replace(path)
        finally:
            part.unlink(missing_ok=True)


def _is_there(path: Path, sha256: str) -> bool:
    if not path.is_file():
        return False
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest() == sha256


def _receive(url: str, file: IO[bytes], progress: Progress | None) -> str:
    """Write what ``url`` answers to ``file``; its checksum."""
    import requests
    import urllib3

    digest = hashlib.sha256()
    done, end = 0, time.monotonic() + MAX_S
    try:
        with requests.get(url, stream=True, timeout=SILENT_S) as response:
            response.raise_for_status()
            length = response.headers.get("Content-Length", "")
            total = int(length) if length.isdecimal() else 0
            # What has come, and not what fills a chunk: a trickle must not outlast the limit.
            while total <= MAX_BYTES and (chunk := response.raw.read1(CHUNK_BYTES)):
                file.write(chunk)
                digest.update(chunk)
                done += len(chunk)
                if done > MAX_BYTES or time.monotonic() > end:
                    break
                if progress is not None:
                    progress(done, total)
    except (requests.RequestException, urllib3.exceptions.HTTPError) as error:
        raise DownloadError(type(error).__name__) from error
    if max(total, done) > MAX_BYTES:
        raise DownloadError(f"it is larger than {MAX_BYTES} bytes")
    if time.monotonic() > end:
        raise DownloadError(f"it took more than {MAX_S} s")
    return digest.hexdigest()
