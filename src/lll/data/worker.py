"""One process of `lll.data.workers`: image files in, pixels out, until its input ends.

Not to be imported by the package: Python runs it by name.
"""

from __future__ import annotations

import os
import signal
import sys

import numpy as np
from numpy.typing import NDArray

from lll.data.decoding import Result, UnreadableError, attempt, calm
from lll.data.workers import LACKED_MEMORY, READY, receive_request, send_results


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
            send_results(answers, [answer(result) for result in results])


def answer(result: Result) -> NDArray[np.uint8] | str:
    """``result`` as it is sent: pixels, or the reason why there are none."""
    if not isinstance(result, UnreadableError):
        return result
    return LACKED_MEMORY if result.passing else str(result)


if __name__ == "__main__":
    main()
