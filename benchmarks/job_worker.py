"""One training run as `lll train` does it, with a clock between its parts. See `job.py`."""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

from common import stopwatch

BEGUN = stopwatch()


def main() -> None:
    """Import, load, train, write; then the seconds of each as JSON."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--started", type=float, required=True, help="when we were called")
    parser.add_argument("--data", required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--cache", type=Path, required=True)
    parser.add_argument("--epochs", type=int, required=True)
    parser.add_argument("--device", required=True)
    parser.add_argument("--report", type=Path, required=True)
    given = parser.parse_args()

    from lll.learn.memory import keep_freed_memory

    keep_freed_memory()
    import torch

    from lll import RunConfig, Watch, load_data, train
    from lll.learn.device import pick_device

    imported = stopwatch()
    device = pick_device(given.device)
    data = load_data(given.data, cache=given.cache)
    loaded = stopwatch()

    planned: list[float] = []
    epochs: list[dict[str, Any]] = []
    watch = Watch(
        on_plan=lambda prepared, run: planned.append(stopwatch()),
        on_epoch=lambda metrics, seconds: epochs.append({**seconds, "at": stopwatch()}),
    )
    config = RunConfig(data=given.data, method="gradual", epochs=given.epochs, device=str(device))
    run = train(config, given.out, data=data, watch=watch)
    trained = stopwatch()
    evaluate = sum(epoch["evaluate_seconds"] for epoch in epochs)
    train_and_evaluate = sum(epoch["seconds"] for epoch in epochs)
    parts = {
        "start": BEGUN - given.started,
        "import": imported - BEGUN,
        "load": loaded - imported,
        "prepare": planned[0] - loaded,
        "train": train_and_evaluate - evaluate,
        "evaluate": evaluate,
        "write": trained - planned[0] - train_and_evaluate,
    }
    load_data(given.data, cache=given.cache)
    again = stopwatch() - trained
    facts = {
        "device": torch.cuda.get_device_name() if device.type == "cuda" else "cpu",
        "threads": torch.get_num_threads(),
        "images": {"train": len(data.train), "test": len(data.test)},
        "test_accuracy": run.result["test_accuracy_final"],
    }
    report = {"parts": parts, "done": trained, "again": again, "epochs": epochs, **facts}
    given.report.write_text(json.dumps(report))


if __name__ == "__main__":
    main()
