"""Ctrl-C, SIGTERM, SIGHUP (a closed terminal), SIGUSR1 (of a queue) all mean: please stop."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType


class Interrupted(KeyboardInterrupt):
    """A signal that asks to stop; ``number`` says which."""

    def __init__(self, number: int) -> None:
        super().__init__(number)
        self.number = number


def stop_signals() -> list[signal.Signals]:
    """The signals that ask to stop, without those that the caller ignores (as nohup does)."""
    names = ("SIGINT", "SIGTERM", "SIGHUP", "SIGUSR1")
    known = [signal.Signals[name] for name in names if hasattr(signal, name)]
    return [number for number in known if signal.getsignal(number) is not signal.SIG_IGN]


@contextmanager
def interrupting() -> Iterator[None]:
    """Inside, each of `stop_signals` raises Interrupted; by default only Ctrl-C does."""

    def interrupt(number: int, frame: FrameType | None) -> None:
        raise Interrupted(number)

    before = {number: signal.signal(number, interrupt) for number in stop_signals()}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
