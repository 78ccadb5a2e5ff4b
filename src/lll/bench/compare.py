"""A sweep: methods × schedules × label budgets × seeds, run, resumed, and compared."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np

from lll.config import RunConfig, differing, read_toml
from lll.errors import UserError, nearest
from lll.runs.files import AGAIN, says_when_full, write_whole
from lll.runs.lock import LOCK, locked
from lll.runs.record import Run, load_run
from lll.runs.train import check_names
from lll.words import NOTHING, decimal, percent, points

_KEYS = ("data", "methods", "schedules", "labels", "seeds", "reference", "settings")
PATIENCE = 30.0  # seconds


@dataclass(frozen=True)
class Job:
    """One run of a sweep: its place in the table, its seed, its configuration, its folder."""

    method: str
    schedule: str
    labels: str
    seed: int
    config: RunConfig
    out: Path


@dataclass(frozen=True)
class Sweep:
    """The runs of a sweep, and the method that the others are compared with."""

    jobs: tuple[Job, ...]
    reference: str


def read_sweep(path: Path, out: Path) -> Sweep:
    """The sweep that a TOML file describes, with run folders below ``out``.

    Keys: ``data``; ``methods``, a list of names, or tables of settings by name; ``labels``, a
    list of label budgets, and ``schedules``, tables of settings by name (both may be left
    out); ``seeds``, a list; ``reference``, one of the methods (the first); ``settings``, a
    table that all runs share. Raises UserError that names the file and the key.
    """
    given = read_toml(path)
    for key in given:
        if key not in _KEYS:
            raise UserError(f"{path}: unknown key {key!r}: {nearest(key, _KEYS)}")
    try:
        methods = _methods(given.get("methods", ["gradual"]))
        schedules = _tables("schedules", given.get("schedules", {"default": {}}))
        shared = {"data": given.get("data")} if "data" in given else {}
        shared |= _table("settings", given.get("settings", {}))
        budgets = [str(labels) for labels in _list("labels", given.get("labels", ["default"]))]
        seeds = _list("seeds", given.get("seeds", [0]))
        jobs = tuple(
            _job(
                out,
                (method, schedule, labels, int(seed)),
                shared | methods[method] | schedules[schedule],
            )
            for method, schedule, labels, seed in product(methods, schedules, budgets, seeds)
        )
    except (UserError, TypeError, ValueError) as error:
        raise UserError(f"{path}: {error}") from None
    reference = str(given.get("reference", next(iter(methods))))
    if reference not in methods:
        raise UserError(f"{path}: reference {reference!r}: {nearest(reference, methods)}")
    if len({job.out for job in jobs}) < len(jobs):
        raise UserError(f"{path}: two runs would share a folder: list each label and seed once")
    return Sweep(jobs, reference)


def run_sweep(
    sweep: Sweep,
    *,
    processes: int,
    say: Callable[[str], None],
) -> None:
    """Run what is not finished, at most ``processes`` at once, each in a process of its own.

    A finished run is kept and a broken one resumed. When this process is interrupted or ends,
    however it ends, every run saves itself, so that the same call goes on later. Raises
    UserError if a folder holds a run of another configuration, and after all others are done
    if a run failed.
    """
    todo = [job for job in sweep.jobs if not _finished(job)]
    say(f"{len(sweep.jobs)} runs, {len(sweep.jobs) - len(todo)} finished already")
    runner = _Runner(threads=max(1, (os.cpu_count() or 1) // processes), say=say)
    with ThreadPoolExecutor(processes) as pool, closing(runner):
        futures = [pool.submit(runner.run, job) for job in todo]
        failures = [failure for future in futures if (failure := future.result())]
    if failures:
        raise UserError(f"{len(failures)} of {len(todo)} runs failed, the first: {failures[0]}")


class _Runner:
    """Runs jobs as processes that end when it is closed, and when this process ends."""

    def __init__(self, threads: int, say: Callable[[str], None]) -> None:
        self._environment = os.environ | {"OMP_NUM_THREADS": str(threads)}
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
            accuracy = load_run(job.out).result["test_accuracy_final"]
            self._say(f"{job.out.name}: test accuracy {percent(accuracy)}")
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


def tabulate(sweep: Sweep) -> list[dict[str, Any]]:
    """One row per method, schedule and label budget, over the seeds that are finished.

    ``final`` and ``chosen`` are test accuracies (final epoch, epoch chosen on validation) as
    mean and sample standard deviation. ``difference`` is the mean over seeds of the final
    accuracy minus that of the reference at the same schedule, budget and seed, with a 95%
    confidence interval from Student's t over the paired differences. Standard deviation and
    interval need two seeds, and are None before.
    """
    runs = {_key(job): load_run(job.out) for job in sweep.jobs if _finished(job)}
    rows = []
    for method, schedule, labels in dict.fromkeys(
        (j.method, j.schedule, j.labels) for j in sweep.jobs
    ):
        mine = {k[3]: run for k, run in runs.items() if k[:3] == (method, schedule, labels)}
        theirs = {k[3]: r for k, r in runs.items() if k[:3] == (sweep.reference, schedule, labels)}
        pairs = [_final(run) - _final(theirs[seed]) for seed, run in mine.items() if seed in theirs]
        rows.append(
            {
                "method": method,
                "schedule": schedule,
                "labels": labels,
                "n": len(mine),
                "final": _spread([_final(run) for run in mine.values()]),
                "chosen": _spread([_chosen(run) for run in mine.values()]),
                "labels_known": _mean([run.result["labels_known"] for run in mine.values()]),
                "seconds_per_epoch": _mean([r.result["seconds_per_epoch"] for r in mine.values()]),
                "difference": None if method == sweep.reference else paired_difference(pairs),
            }
        )
    return rows


def paired_difference(differences: Sequence[float]) -> dict[str, Any] | None:
    """Mean of paired ``differences`` [n] with its 95% interval from Student's t; None for n = 0.

    ``interval`` is None for n = 1, where the spread is unknown.
    """
    if not differences:
        return None
    n, mean = len(differences), float(np.mean(differences))
    if n == 1:
        return {"mean": mean, "interval": None, "n": 1}
    from scipy.stats import t

    half = float(t.ppf(0.975, n - 1) * np.std(differences, ddof=1) / np.sqrt(n))
    return {"mean": mean, "interval": [mean - half, mean + half], "n": n}


def curves(sweep: Sweep) -> dict[str, list[dict[str, Any]]]:
    """For each row of the table that has runs, its test accuracy against labels known.

    One entry per epoch: ``labels`` known, and ``mean`` and ``std`` of the accuracy over seeds.
    """
    named: dict[str, list[Run]] = {}
    for job in sweep.jobs:
        if _finished(job):
            named.setdefault(_title(sweep, job), []).append(load_run(job.out))
    return {
        title: [
            {
                "labels": _mean([m["labels_known"] for m in epoch]),
                **_spread([m["test_accuracy"] for m in epoch]),
            }
            for epoch in zip(*(run.metrics for run in runs), strict=True)
        ]
        for title, runs in named.items()
    }


def write_comparison(out: Path, rows: list[dict[str, Any]], reference: str) -> None:
    """Write the table into ``out`` as comparison.json and, to read, comparison.md."""
    content = {"reference": reference, "rows": rows}
    write_whole(out / "comparison.json", (json.dumps(content, indent=1) + "\n").encode())
    header, *body = table_lines(rows, reference)
    lines = [header, ["---"] * len(header), *body]
    text = "\n".join("| " + " | ".join(line) + " |" for line in lines)
    write_whole(out / "comparison.md", (text + "\n").encode())


def table_lines(rows: list[dict[str, Any]], reference: str) -> list[list[str]]:
    """The table as text: a heading, then a line per row; accuracies in percent."""
    lines = [
        ["method", "schedule", "labels", "n", "final", "chosen", "s/epoch", f"against {reference}"]
    ]
    for row in rows:
        seconds = row["seconds_per_epoch"]
        lines.append(
            [
                row["method"],
                row["schedule"],
                row["labels"],
                str(row["n"]),
                _plus_minus(row["final"]),
                _plus_minus(row["chosen"]),
                decimal(seconds, 1),
                _signed(row["difference"]),
            ]
        )
    return lines


def _job(out: Path, key: tuple[str, str, str, int], settings: dict[str, Any]) -> Job:
    method, schedule, labels, seed = key
    chosen = {} if labels == "default" else {"labels": labels}
    config = RunConfig(**(settings | chosen | {"seed": seed}))
    check_names(config)
    name = "-".join(_safe(str(part)) for part in (method, schedule, labels) if part != "default")
    return Job(method, schedule, labels, seed, config, out / f"{name}-seed{seed}")


def _safe(text: str) -> str:
    return "".join(c if c.isalnum() or c in "._" else "_" for c in text)


def _methods(given: Any) -> dict[str, dict[str, Any]]:
    if isinstance(given, list):
        return {str(name): {"method": str(name)} for name in given}
    return {name: {"method": name} | table for name, table in _tables("methods", given).items()}


def _tables(key: str, given: Any) -> dict[str, dict[str, Any]]:
    return {name: _table(f"{key}.{name}", table) for name, table in _table(key, given).items()}


def _table(key: str, given: Any) -> dict[str, Any]:
    if not isinstance(given, dict):
        raise UserError(f"{key} is {given!r}: write a table of settings")
    return given


def _list(key: str, given: Any) -> list[Any]:
    if not isinstance(given, list) or not given:
        raise UserError(f"{key} is {given!r}: write a list, as in [0, 1, 2]")
    return given


def _key(job: Job) -> tuple[str, str, str, int]:
    return job.method, job.schedule, job.labels, job.seed


def _title(sweep: Sweep, job: Job) -> str:
    """The parts of a row's name in which the sweep's rows differ at all."""
    parts = [job.method]
    if len({j.schedule for j in sweep.jobs}) > 1:
        parts.append(job.schedule)
    if len({j.labels for j in sweep.jobs}) > 1:
        parts.append(job.labels)
    return ", ".join(parts)


def _finished(job: Job) -> bool:
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


def _final(run: Run) -> float:
    accuracy = run.result["test_accuracy_final"]
    if accuracy is None:
        raise UserError(f"{run.path}: the data has no labelled test images to compare by")
    return float(accuracy)


def _chosen(run: Run) -> float:
    accuracy = run.result["test_accuracy_chosen"]
    return _final(run) if accuracy is None else float(accuracy)


def _mean(values: Sequence[float]) -> float | None:
    return float(np.mean(values)) if values else None


def _spread(values: Sequence[float]) -> dict[str, float | None]:
    std = float(np.std(values, ddof=1)) if len(values) > 1 else None
    return {"mean": _mean(values), "std": std}


def _plus_minus(spread: dict[str, float | None]) -> str:
    mean, std = spread["mean"], spread["std"]
    if mean is None:
        return NOTHING
    return f"{100 * mean:.1f}" if std is None else f"{100 * mean:.1f} ± {100 * std:.1f}"


def _signed(difference: dict[str, Any] | None) -> str:
    if difference is None:
        return ""
    mean = points(difference["mean"])
    if difference["interval"] is None:
        return f"{mean} (n = 1)"
    low, high = difference["interval"]
    return f"{mean} [{points(low)}, {points(high)}]"
