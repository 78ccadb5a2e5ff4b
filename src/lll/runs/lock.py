"""One process at a time changes a run folder: a lock that ends with the process that holds it.

The lock (`lll.held`) is on the file ``.lll.lock`` in the folder, and moves with it.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from lll.errors import UserError
from lll.held import holder, owner, take
from lll.runs.files import says_when_full

LOCK = ".lll.lock"


@dataclass(frozen=True)
class Lock:
    """A run folder that this process holds."""

    run: Path
    descriptor: int
    owner: str

    def check(self, last: object) -> None:
        """UserError if the folder was moved, removed or replaced; ``last`` is its checkpoint."""
        try:
            if (self.run / LOCK).read_text(errors="replace") == self.owner:
                return
        except (FileNotFoundError, NotADirectoryError):
            pass
        except OSError:  # not gone; what is written next tells what is wrong
            return
        now = self._folder_now()
        if now is None:
            raise UserError(
                f"{self.run}: this run folder is gone, so training stops; its last good checkpoint "
                f"was {last}: if you moved it, use `lll resume` there, else begin a new run"
            )
        raise UserError(
            f"{self.run}: this run folder is now {now}, so training stops; the last good "
            f"checkpoint is {now}/checkpoints/{last}: go on with `lll resume {now}`"
        )

    def _folder_now(self) -> Path | None:
        """Where the folder of the open lock file is; None if it is gone, or cannot be known."""
        try:
            now = Path(f"/proc/self/fd/{self.descriptor}").readlink()
        except OSError:
            return None
        return now.parent if now.is_file() else None


@contextmanager
def locked(run: Path) -> Iterator[Lock]:
    """Hold the folder ``run``, which exists; UserError that names the process that holds it.

    Where the file system has no locks, a warning says so.
    """
    with says_when_full(run):
        descriptor = os.open(run / LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666)
    try:
        _take(run, descriptor)
        lock = Lock(run, descriptor, owner())
        with says_when_full(run), open(descriptor, "r+", closefd=False) as file:
            file.truncate(0)
            file.write(lock.owner)
        try:
            yield lock
        finally:
            with suppress(OSError):  # empty: nobody's
                os.ftruncate(descriptor, 0)
    finally:
        os.close(descriptor)


def _take(run: Path, descriptor: int) -> None:
    busy = f"{run}: {{holder}} trains in this run folder now: wait until it ends, or stop it first"
    error = take(run / LOCK, descriptor, busy)
    if error is not None:
        before = holder(descriptor)
        logging.getLogger("lll").warning(
            "%s: this file system has no locks (%s): make sure that no other process trains here%s",
            run,
            error.strerror,
            f"; {before} did, and may still" if before else "",
        )
