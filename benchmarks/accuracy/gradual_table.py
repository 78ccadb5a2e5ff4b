"""Results of the gradual benchmark beside each other: the table, and the picture.

    python -m benchmarks.accuracy.gradual_table runs/gradual/*/result.json
    python -m benchmarks.accuracy.gradual_table RESULT.json ... --picture docs/gradual-benchmark.png

The first one is the reference, with which the others are compared by order of the classes.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from benchmarks.accuracy.gradual import plus_minus, run_command
from benchmarks.accuracy.gradual_score import FIGURES, means, over_orders

from lll.errors import UserError
from lll.show.plots.style import LINE_COLOURS, LINE_STYLES, new_figure
from lll.words import points

if TYPE_CHECKING:
    from matplotlib.figure import Figure

Result = Mapping[str, Any]


def difference(result: Result, reference: Result) -> dict[str, Any] | None:
    """Of the primary number to that of ``reference``, paired by order and draw; over orders."""
    ours, theirs = by_part(result), by_part(reference)
    return over_orders((key[0], ours[key] - theirs[key]) for key in ours if key in theirs)


def by_part(result: Result) -> dict[tuple[int, int], float]:
    """The primary number of each order and draw."""
    parts: dict[tuple[int, int], list[Any]] = {}
    for row in result["stages"]:
        parts.setdefault((row["order"], row["draw"]), []).append(row)
    return {key: float(means(rows)["all"] or 0) for key, rows in parts.items()}


def table(results: Sequence[Result]) -> str:
    """A row for each result: its figures over the stages, and its difference to the first."""
    head = ["method", *FIGURES, f"`all` against {results[0]['method']}", "n"]
    lines = ["| " + " | ".join(head) + " |", "|---" * len(head) + "|"]
    for result in results:
        cells = [plus_minus(result["summary"][name]["mean"]) for name in FIGURES]
        found = None if result is results[0] else difference(result, results[0])
        n = result["summary"]["all"]["mean"]["n"]
        lines.append(f"| `{result['method']}` | {' | '.join(cells)} | {signed(found)} | {n} |")
    return "\n".join(lines)


def signed(found: Mapping[str, Any] | None) -> str:
    """A difference in points with its interval."""
    if found is None:
        return ""
    low, high = found["interval"] or (None, None)
    return f"{points(found['mean'])} [{points(low)}, {points(high)}]"


def by_stage(results: Sequence[Result], figure: str) -> str:
    """A row for each result: ``figure`` at each stage, in percent."""
    count = len(results[0]["summary"][figure]["stages"])
    head = [figure, *(f"{5 + stage} classes" for stage in range(count))]
    lines = ["| " + " | ".join(head) + " |", "|---" * len(head) + "|"]
    for result in results:
        cells = [plus_minus(value) for value in result["summary"][figure]["stages"]]
        lines.append(f"| `{result['method']}` | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def picture(results: Sequence[Result]) -> Figure:
    """Accuracy at each stage on all images, on known and on new ones; bars are 95% intervals."""
    figure = new_figure(10.0, 3.6)
    for axes, name in zip(figure.subplots(1, 3, sharey=True), ("all", "known", "new"), strict=True):
        for number, result in enumerate(results):
            values = [value for value in result["summary"][name]["stages"] if value is not None]
            heights = [100 * value["mean"] for value in values]
            ends = [value["interval"] or (value["mean"], value["mean"]) for value in values]
            axes.errorbar(
                np.arange(len(values)) + 5 + 0.06 * (number - len(results) / 2),
                heights,
                [50 * (high - low) for low, high in ends],
                linestyle=LINE_STYLES[number // len(LINE_COLOURS) % len(LINE_STYLES)],
                color=LINE_COLOURS[number % len(LINE_COLOURS)],
                marker=".",
                capsize=2,
                label=result["method"],
            )
        axes.set(title=f"{name} images", xlabel="classes with labels", ylim=(0, 100))
        axes.set_xticks(range(5, 11))
        axes.grid(alpha=0.3)
    figure.axes[0].set_ylabel("accuracy in %")
    figure.axes[2].legend(loc="upper right")
    return figure


def main(arguments: Sequence[str] | None = None) -> None:
    """Print the tables; draw if asked to."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("results", nargs="+", type=Path)
    parser.add_argument("--picture", type=Path)
    given = parser.parse_args(arguments)
    results = [json.loads(path.read_text("utf-8")) for path in given.results]
    if len({(result["data"], result["scored"]) for result in results}) > 1:
        raise UserError("results of other data or other images: compare like with like")
    parts = [table(results), *(by_stage(results, name) for name in ("all", "known", "new"))]
    sys.stdout.write("\n\n".join(parts) + "\n")
    if given.picture:
        picture(results).savefig(given.picture, dpi=110)


if __name__ == "__main__":
    run_command(main)
