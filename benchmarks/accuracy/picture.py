"""Draw a table of `features.py` as accuracy against labels per class.

python benchmarks/accuracy/picture.py benchmarks/accuracy/results/budgets-test.json accuracy.png
"""

import json
import sys
from itertools import groupby
from pathlib import Path
from statistics import mean, stdev
from typing import Any

from lll.show.plots.comparison import comparison

Rows = list[dict[str, Any]]


def curve(rows: Rows) -> Rows:
    """Mean and standard deviation over draws for each number of labels per class."""
    budgets = groupby(sorted(rows, key=label_count), key=label_count)
    scores = [(count, [row["accuracy"] for row in part]) for count, part in budgets]
    return [{"labels": count, "mean": mean(got), "std": stdev(got)} for count, got in scores]


def label_count(row: dict[str, Any]) -> int:
    """Labels per class."""
    return int(row["column"])


def main(table: str, picture: str) -> None:
    """Read ``table`` and write ``picture``."""
    rows: Rows = json.loads(Path(table).read_text())["fits"]
    methods = ("auto", "logistic")
    figure = comparison({name: curve([r for r in rows if r["method"] == name]) for name in methods})
    axes = figure.axes[0]
    axes.set(xscale="log", xlabel="labels per class", ylim=(0.3, 0.85))
    axes.set_xticks([1, 4, 10, 25, 100, 400], ["1", "4", "10", "25", "100", "400"])
    axes.yaxis.set_major_formatter(lambda value, _: f"{value:.0%}")
    figure.savefig(picture, dpi=110)


if __name__ == "__main__":
    main(*sys.argv[1:])
