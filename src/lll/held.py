"""One process at a time holds a file: an exclusive `flock` that says whose it is.

The system frees it when the process ends, however it ends. On NFS it holds between machines too
(Linux 2.6.12 and later).
"""

from __future__ import annotations

import errno
import fcntl
import os
import socket
from pathlib import Path

from lll.errors import UserError

# What file systems without locks answer.
_NO_LOCKS = {errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP, errno.ENOTSUP, errno.EINVAL}


def take(path: Path, descriptor: int, refusal: str) -> OSError | None:
    """Lock the open file ``path``; the error of a file system that has no locks, else None.

    Raises UserError: ``refusal``, in which ``{holder}`` is the process that holds it.
    """
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        who = holder(descriptor) or "another process"
        raise UserError(refusal.replace("{holder}", who)) from None
    except OSError as error:
        if error.errno not in _NO_LOCKS:
            raise UserError(f"{path}: cannot be locked ({error.strerror})") from None
        return error
    return None


def owner() -> str:
    """The line that says that this process holds it."""
    return f"{os.getpid()} {socket.gethostname()}\n"


def holder(descriptor: int) -> str:
    """``process 12 on host``, as the file says; "" if it says nothing."""
    pid, _, host = os.pread(descriptor, 300, 0).decode(errors="replace").strip().partition(" ")
    return f"process {pid} on {host}" if pid.isdecimal() and host.isprintable() else ""
