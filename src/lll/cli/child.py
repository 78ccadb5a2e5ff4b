"""`lll` as another `lll` starts it, and ends with that: ``python -m lll.cli.child ARGUMENTS``."""

from __future__ import annotations

import os
import signal
import threading

from lll.cli import main


def end_with_parent() -> None:
    """Stop as by SIGTERM once standard input is at its end.

    It is a pipe of which the parent keeps the other end, and which the system closes when the
    parent ends, however it ends.
    """

    def wait() -> None:
        while os.read(0, 1024):
            pass
        os.kill(os.getpid(), signal.SIGTERM)

    threading.Thread(target=wait, daemon=True).start()


if __name__ == "__main__":
    end_with_parent()
    main()
