"""One process of `lll.data.workers`: image files in, pixels out, until its input ends.

Not to be imported by the package: Python runs it by name.
"""

from __future__ import annotations

import os
import signal
import sys

from lll.data.decoding import UnreadableError, attempt, calm
from lll.data.workers import READY, receive_request, send_results


def main() -> None:
    """Decode what comes on standard input, and answer on standard output."""
    # Ctrl-C reaches the whole group; the process that asked says when this one is to end.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    # Nothing else may print among the answers.
    answers = os.fdopen(os.dup(sys.stdout.fileno()), "wb")
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())
    with calm():
        answers.write(READY)
        answers.flush()
        while (request := receive_request(sys.stdin.buffer)) is not None:
            files, size, resize = request
            results = [attempt(data, size, resize) for data in files]
            send_results(
                answers, [str(r) if isinstance(r, UnreadableError) else r for r in results]
            )


if __name__ == "__main__":
    main()
