"""Training on a mapped set of n images, step by step as it is asked. See `growth.py`."""

from __future__ import annotations

import argparse
import os
import socket
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import Any, TextIO

from worker import answer_channel, cores, requests, say

WARM_UP = 6  # steps; the first ones also read ahead
AFTER_A_PAUSE = 4  # steps that are not timed: their images were read before the pause


class Memory:
    """Peaks of this process: anonymous memory (sampled), and all that is resident (the kernel's).

    Pages of a mapped file are resident while there is room, and not anonymous.
    """

    def __init__(self, interval: float = 0.02) -> None:
        self.anonymous = 0
        self._interval = interval
        threading.Thread(target=self._watch, daemon=True).start()

    def _watch(self) -> None:
        while True:
            self.anonymous = max(self.anonymous, _status("RssAnon"))
            time.sleep(self._interval)

    def peaks(self) -> dict[str, int]:
        """Bytes."""
        return {"anonymous_bytes": self.anonymous, "resident_bytes": _status("VmHWM")}


def _status(key: str) -> int:
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith(key + ":"):
            return int(line.split()[1]) * 1024
    return 0


class Paced:
    """Lets a run go on for as many steps as it is asked, and times them from end to end.

    A step that begins an epoch is left out, for what lies before it is not a step's work.
    """

    def __init__(self, channel: TextIO, memory: Memory, finish: Any, facts: dict[str, Any]):
        self._channel, self._memory, self._finish = channel, memory, finish
        self._facts, self._asked = facts, requests()
        self._last = 0.0
        self._seconds: list[float] = []
        self._wanted = WARM_UP
        self._skip = 0
        self.stopped = False
        self.planned = self.begun = 0.0

    def on_plan(self, prepared: Any, run: Any) -> None:
        """The run is laid out; its first epoch begins."""
        self.planned = time.perf_counter()

    def should_stop(self) -> bool:
        """Asked before each step, the first time when the first minibatch is there."""
        self.begun = self.begun or time.perf_counter()
        return self.stopped

    def on_step(self, epoch: int, step: int, steps: int) -> None:
        """Count a step; answer and wait when as many as asked are done."""
        if self._wanted == 1 or self._skip:
            self._finish()
        now = time.perf_counter()
        if self._skip:
            self._skip -= 1
        elif step > 1:
            self._seconds.append(now - self._last)
            self._wanted -= 1
        if self._wanted == 0:
            self._answer(steps)
            now = time.perf_counter()
        self._last = now

    def _answer(self, steps: int) -> None:
        took = {"steps": len(self._seconds), "seconds": sum(self._seconds)}
        if "step_seconds" not in self._facts:
            self._facts["step_seconds"] = statistics.median(self._seconds)
            self._facts["steps_per_epoch"] = steps
            self._facts["epoch_start_seconds"] = self.begun - self.planned
            took = self._facts
        say(self._channel, {**took, **self._memory.peaks()})
        request = next(self._asked, None)
        self.stopped = request is None
        self._wanted = request["steps"] if request else 1
        self._skip, self._seconds = AFTER_A_PAUSE, []


def main() -> None:
    """Map the images, lay out the run, train as asked."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--images", type=Path, required=True, help="uint8 [n, 32, 32, 3] in .npy")
    parser.add_argument("--count", type=int, required=True, help="only the first of them")
    parser.add_argument("--width", type=int, required=True)
    parser.add_argument("--batch", type=int, required=True)
    parser.add_argument("--device", required=True)
    parser.add_argument("--processes", type=int, default=1)
    given = parser.parse_args()
    channel = answer_channel()
    memory = Memory()
    _start_the_others(given.processes)

    from lll.learn.memory import keep_freed_memory

    keep_freed_memory()
    import numpy as np
    import torch

    from lll import RunConfig, RunStopped, Watch, train
    from lll.data import from_arrays
    from lll.learn.device import pick_device
    from lll.ranks import joined

    torch.set_num_threads(max(1, cores() // given.processes))
    device = pick_device(given.device)
    baseline = memory.peaks()
    begun = time.perf_counter()
    images = np.load(given.images, mmap_mode="r")[: given.count]
    data = from_arrays(images, np.arange(given.count) % 10, name=f"synthetic-{given.count}")
    facts = {
        "batch": given.batch,
        "count": given.count,
        "processes": given.processes,
        "threads": torch.get_num_threads(),
        "baseline": baseline,
        "label_and_id_bytes": sum(
            part.labels.nbytes + part.ids.nbytes for part in (data.train, data.test)
        ),
        "data_seconds": time.perf_counter() - begun,
    }
    finish = torch.cuda.synchronize if device.type == "cuda" else lambda: None
    paced = Paced(channel, memory, finish, facts)

    def on_plan(prepared: Any, run: Any) -> None:
        facts["prepare_seconds"] = time.perf_counter() - begun - facts["data_seconds"]
        paced.on_plan(prepared, run)

    watch = Watch(on_plan=on_plan, on_step=paced.on_step, should_stop=paced.should_stop)
    config = RunConfig(
        data="synthetic",
        method="gradual",
        width=given.width,
        batch_size=given.batch,
        epochs=10_000,
        device=given.device,
    )
    backend = "nccl" if device.type == "cuda" else "gloo"
    with tempfile.TemporaryDirectory() as out, joined(os.environ, backend) as processes:
        try:
            train(config, out, data=data, overwrite=True, watch=watch, ranks=processes)
        except RunStopped:
            return


def _start_the_others(count: int) -> None:
    """Start ranks 1 to ``count`` - 1 as torchrun would, in this process group.

    torchrun gives its processes groups of their own, which could not be put to sleep and
    ended with this one.
    """
    if count == 1 or "RANK" in os.environ:
        return
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    shared = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port), "WORLD_SIZE": str(count)}
    for rank in range(1, count):
        own = {"RANK": str(rank), "LOCAL_RANK": str(rank)}
        subprocess.Popen(
            [sys.executable, *sys.argv],
            env={**os.environ, **shared, **own},
            stdin=subprocess.DEVNULL,
        )
    os.environ.update(shared, RANK="0", LOCAL_RANK="0")


if __name__ == "__main__":
    main()
