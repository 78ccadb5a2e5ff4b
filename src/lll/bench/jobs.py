"""Running a sweep: what is not finished, each run in a process of its own or all in this one."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path

from lll.bench.sweep import Job, Sweep
from lll.config import differing
from lll.data.workers import cores
from lll.errors import UserError
from lll.learn.kept import Kept
from lll.runs.files import AGAIN, says_when_full, write_whole
from lll.runs.lock import LOCK, locked
from lll.runs.record import Run, load_run
from lll.runs.resume import train_or_resume
from lll.runs.train import data_of
from lll.words import percent

PATIENCE = 30.0  # seconds
THREADS = "OMP_NUM_THREADS"


def run_sweep(
    sweep: Sweep,
    *,
    processes: int,
    say: Callable[[str], None],
) -> None:
    """Run what is not finished, at most ``processes`` at once, each in a process of its own.

    Runs on the features of a frozen encoder share this process, one after another. A finished
    run is kept and a broken one resumed. When this process is interrupted or ends, however it
    ends, every run is saved, so that the same call goes on later. Raises UserError if a folder
    holds a run of another configuration, and after all others are done if a run failed.
    """
    todo = [job for job in sweep.jobs if not finished(job)]
    say(f"{len(sweep.jobs)} runs, {len(sweep.jobs) - len(todo)} finished already")
    here = [job for job in todo if job.config.freeze]
    if here and processes > 1:
        say(f"{len(here)} runs on features share one process: --processes is for the others")
    failures = _run_here(here, say)
    runner = _Runner(threads_each(processes, os.environ), say=say)
    with ThreadPoolExecutor(processes) as pool, closing(runner):
        futures = [pool.submit(runner.run, job) for job in todo if job not in here]
        failures += [failure for future in futures if (failure := future.result())]
    if failures:
        raise UserError(f"{len(failures)} of {len(todo)} runs failed, the first: {failures[0]}")


def threads_each(processes: int, environment: Mapping[str, str]) -> str:
    """Threads of each of ``processes`` runs: what the user has set, or their part of the cores."""
    return environment.get(THREADS) or str(max(1, cores() // processes))


def _run_here(jobs: Sequence[Job], say: Callable[[str], None]) -> list[str]:
    """Train ``jobs`` in this process, which takes less time than to start others; what failed."""
    kept, failures = Kept(), []
    for job in sorted(jobs, key=_kin):
        c = job.config
        key = ("data", c.data, c.image_size, c.resize, c.test_share)
        try:
            data = kept.get(key, lambda c=c: data_of(c))  # type: ignore[misc]
            run = train_or_resume(c, job.out, data=data, kept=kept)
        except UserError as error:
            failures.append(f"{job.out.name}: {error}")
        else:
            _say_accuracy(run, say)
    return failures


def _kin(job: Job) -> tuple[bool, float, int, str, int]:
    """Runs of the same rows and labels come together, and find what the first one kept."""
    share = job.config.validation_share
    rows = job.config.how.fit is None, share, job.seed if share else 0
    return *rows, job.labels, job.seed


def _say_accuracy(run: Run, say: Callable[[str], None]) -> None:
    say(f"{run.path.name}: test accuracy {percent(run.result['test_accuracy_final'])}")


class _Runner:
    """Runs jobs as processes that end when it is closed, and when this process ends."""

    def __init__(self, threads: str, say: Callable[[str], None]) -> None:
        self._environment = os.environ | {THREADS: threads}
        self._say = say
        self._lock, self._closed = threading.Lock(), False
        # Nothing is ever written: children read the end of it when our end is closed.
        self._theirs, self._ours = os.pipe()

    def run(self, job: Job) -> str | None:
        """Train or resume one job; what went wrong, or None."""
        self._wait_for_earlier(job.out)
        with self._lock:
            if self._closed:
                return None
            child = self._start(_command(job))
        error = child.communicate()[1].strip().splitlines() or [f"exit code {child.returncode}"]
        if child.returncode == 0:
            _say_accuracy(load_run(job.out), self._say)
            return None
        return None if self._closed else f"{job.out.name}: {error[-1]}"

    def _start(self, command: list[str]) -> subprocess.Popen[str]:
        return subprocess.Popen(
            [sys.executable, "-m", "lll.cli.child", *command],
            env=self._environment,
            stdin=self._theirs,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
            errors="backslashreplace",
            # What a terminal sends reaches us alone, and through `close` the children, once.
            start_new_session=True,
        )

    def _wait_for_earlier(self, out: Path) -> None:
        """Wait until a run of an earlier sweep, which was killed, is saved too."""
        until = time.monotonic() + PATIENCE
        while (out / LOCK).exists() and not self._closed and time.monotonic() < until:
            try:
                with locked(out):
                    return
            except UserError:  # after a while that of the run itself, which is reported
                time.sleep(0.1)

    def close(self) -> None:
        """Let every child save itself and end."""
        with self._lock:
            self._closed = True
            os.close(self._ours)
            os.close(self._theirs)


def finished(job: Job) -> bool:
    """Whether the job's folder holds its finished run; UserError if it holds another's."""
    if not (job.out / "config.toml").is_file():
        return False
    run = load_run(job.out)
    ours = job.config.to_dict()
    # The run remembers where the data lay from the root.
    changed = [f for f in differing(run.config.to_dict(), ours) if f not in ("data", "device")]
    if changed:
        field = changed[0]
        raise UserError(
            f"{job.out}: was run with {field} {run.config.to_dict().get(field)!r}, the sweep says "
            f"{ours.get(field)!r}: give another --out, or remove the run"
        )
    return run.finished


def _command(job: Job) -> list[str]:
    if (job.out / "config.toml").is_file():
        return ["resume", str(job.out), "--quiet"]
    settings = job.out.parent / f"{job.out.name}.toml"
    with says_when_full(settings, AGAIN):
        settings.parent.mkdir(parents=True, exist_ok=True)
    write_whole(settings, job.config.to_toml().encode())
    return ["train", str(settings), "--out", str(job.out), "--quiet"]
