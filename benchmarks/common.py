"""What every benchmark needs: workers in alternation, spreads, machine facts, tables, JSON.

Standard library only, but for a prettier table where rich is installed.
"""

from __future__ import annotations

import importlib.metadata
import json
import os
import platform
import signal
import statistics
import subprocess
import sys
import time
from collections.abc import Sequence
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from worker import cores

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent
OUT = ROOT / "runs" / "bench"


class NotAvailable(Exception):  # noqa: N818 - a row of the table, not a failure of the benchmark
    """A competitor that cannot be measured here, and why."""


class Worker:
    """A competitor in a process of its own that sleeps unless it is asked.

    Between requests the whole process group is stopped (SIGSTOP), helpers and spinning threads
    included, so that it takes no time from the one that is being measured.
    """

    def __init__(self, name: str, command: Sequence[str | Path], *, python: Path | None = None):
        self.name = name
        self._log = OUT / "logs" / f"{name}.log"
        self._log.parent.mkdir(parents=True, exist_ok=True)
        with self._log.open("w") as log:
            self._process = subprocess.Popen(
                [str(python or sys.executable), *map(str, command)],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
                text=True,
                bufsize=1,
                start_new_session=True,
                env=os.environ | {"PYTHONUNBUFFERED": "1"},
            )
        try:
            self.ready: dict[str, Any] = self._answer()
        except BaseException:
            self.close()
            raise

    def ask(self, do: str, **request: Any) -> dict[str, Any]:
        """Wake the worker, let it do one thing, put it to sleep; its answer."""
        self._signal(signal.SIGCONT)
        assert self._process.stdin is not None
        try:
            self._process.stdin.write(json.dumps({"do": do, **request}) + "\n")
            self._process.stdin.flush()
        except BrokenPipeError:
            raise NotAvailable(self._last_words()) from None
        return self._answer()

    def close(self) -> None:
        """End the worker and whatever it started."""
        self._signal(signal.SIGKILL)
        self._process.wait()

    def __enter__(self) -> Worker:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _answer(self) -> dict[str, Any]:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            raise NotAvailable(self._last_words())
        self._signal(signal.SIGSTOP)
        answer: dict[str, Any] = json.loads(line)
        return answer

    def _signal(self, number: signal.Signals) -> None:
        with suppress(ProcessLookupError):
            os.killpg(self._process.pid, number)

    def _last_words(self) -> str:
        lines = self._log.read_text(errors="replace").strip().splitlines()
        return f"{self.name} ended: {lines[-1] if lines else 'without a word'} (see {self._log})"


def steps_for(worker: Worker, seconds: float) -> int:
    """How many steps take ``worker`` about ``seconds``, from the step time it said when ready."""
    return max(1, round(seconds / worker.ready["step_seconds"]))


def alternate(workers: Sequence[Worker], rounds: int, seconds: float) -> dict[str, list[float]]:
    """Images per second of each worker in each round; who begins changes from round to round."""
    steps = {worker.name: steps_for(worker, seconds) for worker in workers}
    rates: dict[str, list[float]] = {worker.name: [] for worker in workers}
    for number in range(rounds):
        for worker in workers if number % 2 == 0 else list(reversed(workers)):
            took = worker.ask("steps", steps=steps[worker.name])
            rates[worker.name].append(worker.ready["batch"] * took["steps"] / took["seconds"])
    return rates


def spread(values: Sequence[float]) -> dict[str, Any]:
    """Median, least, greatest, and every value."""
    return {
        "median": statistics.median(values),
        "min": min(values),
        "max": max(values),
        "all": list(values),
    }


def ratios(ours: Sequence[float], theirs: Sequence[float]) -> dict[str, Any]:
    """The spread of ours / theirs, round by round."""
    return spread([a / b for a, b in zip(ours, theirs, strict=True)])


def shown(values: dict[str, Any], form: str = ",.0f", unit: str = "") -> str:
    """A spread as ``median (min – max)``."""
    low, mid, high = (format(values[key], form) for key in ("min", "median", "max"))
    return f"{mid}{unit} ({low} – {high})"


def machine() -> dict[str, Any]:
    """What was measured on: processor, cores, memory, system, versions, date."""
    return {
        "cpu": _cpu_model(),
        "cores": cores(),
        "memory_bytes": os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"),
        "load_average": os.getloadavg(),
        "system": platform.platform(),
        "python": platform.python_version(),
        **{name: version(name) for name in ("torch", "numpy", "little-label-learners")},
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
    }


def version(package: str) -> str | None:
    """The installed version of ``package``, or None."""
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return None


def save(name: str, results: dict[str, Any], folder: Path = OUT) -> Path:
    """Write ``results`` with the machine's facts into ``folder/name.json``."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{name}.json"
    path.write_text(json.dumps({"benchmark": name, "machine": machine(), **results}, indent=2))
    show_line(f"written: {path}")
    return path


def show(title: str, columns: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Print a table: with rich where there is one, else in plain columns."""
    try:
        from rich.console import Console
        from rich.table import Table
    except ImportError:
        _show_plain(title, columns, rows)
        return
    table = Table(*columns, title=title, title_justify="left")
    for row in rows:
        table.add_row(*row)
    # Where there is no terminal to fit into, rows stay whole.
    Console(width=None if sys.stdout.isatty() else 150, highlight=False).print(table)


def show_line(text: str) -> None:
    """Print one line at once."""
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


def stopwatch() -> float:
    """Seconds on a clock that all processes of the machine share."""
    return time.clock_gettime(time.CLOCK_MONOTONIC)


def _show_plain(title: str, columns: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    widths = [max(map(len, column)) for column in zip(columns, *rows, strict=True)]
    lines = [
        "  ".join(c.ljust(w) for c, w in zip(r, widths, strict=True)) for r in [columns, *rows]
    ]
    show_line("\n".join([title, *lines, ""]))


def _cpu_model() -> str:
    with suppress(OSError):
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()
