"""`lll` as another `lll` starts it, and ends with that: ``python -m lll.cli.child ARGUMENTS``."""

from __future__ import annotations

import os
import signal
import threading

from lll.cli import main


def end_with_parent() -> None:
    """Stop this process, as SIGTERM does, when its standard input is closed.

    Standard input is a pipe from the parent. The system closes it when the parent ends, also
    when the parent is killed.
    """

    def wait() -> None:
        while os.read(0, 1024):
            pass
        os.kill(os.getpid(), signal.SIGTERM)

    threading.Thread(target=wait, daemon=True).start()


if __name__ == "__main__":
    end_with_parent()
    main()
