"""One process at a time changes a run folder: a lock that ends with the process that holds it.

It is an exclusive `flock` on the file ``.lll.lock`` in the folder. The system frees it when the
process ends, however it ends. On NFS it holds between machines too (Linux 2.6.12 and later).
The file says whose it is (process number, host), and moves with the folder.
"""

from __future__ import annotations

import errno
import fcntl
import logging
import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from lll.errors import UserError
from lll.runs.files import says_when_full

LOCK = ".lll.lock"
# What file systems without locks answer.
_NO_LOCKS = {errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP, errno.ENOTSUP, errno.EINVAL}


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
        lock = Lock(run, descriptor, f"{os.getpid()} {socket.gethostname()}\n")
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
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        raise UserError(
            f"{run}: {_holder(descriptor) or 'another process'} trains in this run folder now: "
            "wait until it ends, or stop it first"
        ) from None
    except OSError as error:
        if error.errno not in _NO_LOCKS:
            raise UserError(f"{run / LOCK}: cannot be locked ({error.strerror})") from None
        holder = _holder(descriptor)
        logging.getLogger("lll").warning(
            "%s: this file system has no locks (%s): make sure that no other process trains here%s",
            run,
            error.strerror,
            f"; {holder} did, and may still" if holder else "",
        )


def _holder(descriptor: int) -> str:
    """``process 12 on host``, as the file says; "" if it says nothing."""
    pid, _, host = os.pread(descriptor, 300, 0).decode(errors="replace").strip().partition(" ")
    return f"process {pid} on {host}" if pid.isdecimal() and host.isprintable() else ""
