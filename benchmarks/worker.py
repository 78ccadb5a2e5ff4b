"""The worker's half of a paired measurement: build once, then answer requests from stdin.

Standard library only, for workers live in the environments of the peers as well. A request is
one line of JSON, ``{"do": NAME, ...}``; the answer is one line of JSON. `common.Worker` is the
other half.
"""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import Any, TextIO

Handler = Callable[..., dict[str, Any]]


def answer_channel() -> TextIO:
    """Keep the real stdout for answers; what libraries print goes to stderr from now on."""
    channel = os.fdopen(os.dup(1), "w", buffering=1)
    os.dup2(2, 1)
    return channel


def say(channel: TextIO, message: dict[str, Any]) -> None:
    """Send one answer."""
    channel.write(json.dumps(message) + "\n")
    channel.flush()


def requests() -> Iterator[dict[str, Any]]:
    """Requests as they come, to the end of stdin."""
    for line in sys.stdin:
        yield json.loads(line)


def serve(channel: TextIO, handlers: dict[str, Handler], ready: dict[str, Any]) -> None:
    """Say ``ready``, then answer every request with the handler that it names."""
    say(channel, ready)
    for request in requests():
        say(channel, handlers[request.pop("do")](**request))


def time_steps(
    step: Callable[[], object], steps: int, finish: Callable[[], object] = lambda: None
) -> dict[str, Any]:
    """Run ``step`` that often, then ``finish`` (which waits for a GPU): ``{steps, seconds}``."""
    finish()
    begun = time.perf_counter()
    for _ in range(steps):
        step()
    finish()
    return {"steps": steps, "seconds": time.perf_counter() - begun}


def cores() -> int:
    """How many cores this process may use."""
    with suppress(AttributeError):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1
