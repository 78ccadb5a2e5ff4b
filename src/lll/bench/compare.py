"""What a sweep came to: a table with paired differences, and curves."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from lll.bench.jobs import finished
from lll.bench.sweep import Job, Sweep
from lll.errors import UserError
from lll.runs.files import write_whole
from lll.runs.record import Run, load_run
from lll.words import NOTHING, decimal, points


def tabulate(sweep: Sweep) -> list[dict[str, Any]]:
    """One row per method, schedule and label budget, over the seeds that are finished.

    ``final`` and ``chosen`` are test accuracies (final epoch, epoch chosen on validation) as
    mean and sample standard deviation; ``by_seed`` are the final ones one by one.
    ``difference`` is the mean over seeds of the final accuracy minus that of the reference at the
    same seed and budget, and at the same schedule, or by the same method where the reference is a
    schedule, with a 95% confidence interval from Student's t over the paired differences.
    Standard deviation and interval need two seeds, and are None before.
    """
    runs = {_key(job): load_run(job.out) for job in sweep.jobs if finished(job)}
    rows = []
    for method, schedule, labels in dict.fromkeys(
        (j.method, j.schedule, j.labels) for j in sweep.jobs
    ):
        mine = {k[3]: run for k, run in runs.items() if k[:3] == (method, schedule, labels)}
        other = _reference(sweep, method, schedule)
        theirs = {k[3]: run for k, run in runs.items() if k[:3] == (*other, labels)}
        pairs = [_final(run) - _final(theirs[seed]) for seed, run in mine.items() if seed in theirs]
        rows.append(
            {
                "method": method,
                "schedule": schedule,
                "labels": labels,
                "n": len(mine),
                "final": _spread([_final(run) for run in mine.values()]),
                "by_seed": {str(seed): _final(run) for seed, run in mine.items()},
                "chosen": _spread([_chosen(run) for run in mine.values()]),
                "labels_known": _mean([run.result["labels_known"] for run in mine.values()]),
                "seconds_per_epoch": _mean([r.result["seconds_per_epoch"] for r in mine.values()]),
                "difference": (None if other == (method, schedule) else paired_difference(pairs)),
            }
        )
    return rows


def _reference(sweep: Sweep, method: str, schedule: str) -> tuple[str, str]:
    """The method and schedule that a row is compared with."""
    if sweep.reference in {job.method for job in sweep.jobs}:
        return sweep.reference, schedule
    return method, sweep.reference


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
        if finished(job):
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


def _final(run: Run) -> float:
    accuracy = run.result["test_accuracy_final"]
    if accuracy is None:
        raise UserError(f"{run.path}: no labelled test image to compare by: label some")
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
