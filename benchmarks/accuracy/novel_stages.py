"""Method `novel` against `lll discover` alone while classes get names: one table.

    python -m benchmarks.accuracy.novel_stages DATA            scores validation images
    python -m benchmarks.accuracy.novel_stages DATA --test     once all is fixed

The stages, labels and images are those of the gradual benchmark (docs/gradual-benchmark.md).
DATA is CIFAR-10, by the features of a frozen encoder, or the digits, which `novel` learns from the
images and `lll discover` groups by features. `novel` has an output for each class; `discover` is
given their number, `discover-auto` estimates it.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from benchmarks.accuracy import gradual
from benchmarks.accuracy.gradual import run_command
from benchmarks.accuracy.gradual_table import by_stage, table

FROZEN = ("--set", "encoder=efficientnet_lite2", "--set", "resize=squash")
RATES = ("--set", "contrastive_rate=0.001", "--set", "probe_rate=0.003")
SETTINGS = {
    "cifar10": ("--epochs", "2", *FROZEN, "--set", "feature_views=1", *RATES),
    "digits": ("--set", "width=32"),
}


def groups_by_stage(results: Sequence[Mapping[str, Any]]) -> str:
    """A row for each result: how many groups of images without a known class there are."""
    count = len(results[0]["summary"]["all"]["stages"])
    head = ["groups", *(f"{5 + stage} classes" for stage in range(count))]
    lines = ["| " + " | ".join(head) + " |", "|---" * len(head) + "|"]
    for result in results:
        rows = result["stages"]
        found = [[row["groups"] for row in rows if row["stage"] == s] for s in range(count)]
        cells = [f"{np.mean(each):.1f} ({min(each)} to {max(each)})" for each in found]
        lines.append(f"| `{result['method']}` | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def main() -> None:
    """Run what is missing, print the tables."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("data", help="as for `lll train`")
    parser.add_argument("--orders", type=int, default=3, help="how many orders of the classes")
    parser.add_argument("--test", action="store_true", help="score the test images")
    given = parser.parse_args()
    name = "digits" if given.data == "digits" else "cifar10"
    part = "test" if given.test else "validation"
    results = []
    for method in ("novel", "discover", "discover-auto"):
        out = gradual.ROOT / "runs" / "gradual" / f"{name}-{method}-{part}"
        settings = SETTINGS[name] if method == "novel" else FROZEN
        test = ["--test"] if given.test else []
        words = [given.data, "--method", method, "--orders", str(given.orders), *settings, *test]
        gradual.main([*words, "--out", str(out)])
        results.append(json.loads((out / "result.json").read_text("utf-8")))
    tables = [table(results), *(by_stage(results, each) for each in ("all", "known", "new"))]
    sys.stdout.write("\n\n".join([*tables, groups_by_stage(results)]) + "\n")


if __name__ == "__main__":
    run_command(main)
