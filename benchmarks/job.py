"""Wall time of a whole `lll train --data DATA --method gradual`, and what it is spent on.

    python benchmarks/job.py
    python benchmarks/job.py --data photos/ --epochs 20

With the defaults of the command, but for the epochs: one on a CPU, where twenty take minutes,
and the default twenty on a GPU. Nothing is extrapolated. The images are decoded anew, into a
cache folder that is removed afterwards; what loading them again costs is shown beside.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from common import HERE, ROOT, NotAvailable, save, show, show_line, stopwatch

DATA = ROOT.parent / "shared" / "data" / "cifar10-jpeg"
PER_EPOCH = ("train", "evaluate", "write")


def measure(data: str, epochs: int, device: str) -> dict[str, Any]:
    """Seconds of each part of the job in a process of its own; they add up to the wall time.

    Raises NotAvailable if the data is not there or the job fails.
    """
    if ("/" in data or "\\" in data) and not Path(data).exists():
        raise NotAvailable(f"{data} is not there: give --data")
    with tempfile.TemporaryDirectory(prefix="lll-bench-") as name:
        folder = Path(name)
        command = [sys.executable, str(HERE / "job_worker.py"), "--data", data]
        command += ["--epochs", str(epochs), "--device", device, "--out", str(folder / "run")]
        command += ["--cache", str(folder / "cache"), "--report", str(folder / "report.json")]
        started = stopwatch()
        done = subprocess.run(
            [*command, "--started", repr(started)], stderr=subprocess.PIPE, text=True, check=False
        )
        ended = stopwatch()
        if done.returncode:
            raise NotAvailable(done.stderr.strip().splitlines()[-1])
        report: dict[str, Any] = json.loads((folder / "report.json").read_text())
    # Loading again is our own addition to the job, and no part of it.
    wall = ended - started - report["again"]
    rest = wall - sum(report["parts"].values())
    report["parts"]["rest"] = rest
    after_load = sum(report["parts"][part] for part in ("prepare", *PER_EPOCH))
    return {
        "data": data,
        **report,
        "wall_seconds": wall,
        "after_import_and_load_seconds": after_load,
    }


def rows(result: dict[str, Any]) -> list[list[str]]:
    """A line per part, and their sum."""
    wall, epochs = result["wall_seconds"], len(result["epochs"])

    def line(name: str, seconds: float, each: bool = False) -> list[str]:
        per_epoch = f"{seconds / epochs:.2f}" if each else ""
        return [name, f"{seconds:.2f}", f"{100 * seconds / wall:.0f} %", per_epoch]

    return [
        *(line(name, s, name in PER_EPOCH) for name, s in result["parts"].items()),
        line("whole job", wall),
        ["after import and load", f"{result['after_import_and_load_seconds']:.2f}", "", ""],
        ["(load again, decoded)", f"{result['again']:.2f}", "", ""],
    ]


def main() -> None:
    """Run the job, print the table, write the JSON."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", default=str(DATA), help="a data set or path (%(default)s)")
    parser.add_argument("--epochs", type=int, help="1 on a CPU, 20 on a GPU")
    parser.add_argument("--device", default="auto")
    given = parser.parse_args()
    from lll.learn.device import pick_device

    epochs = given.epochs or (20 if pick_device(given.device).type == "cuda" else 1)
    show_line(f"job: {epochs} epoch(s) of gradual ...")
    try:
        result = measure(given.data, epochs, given.device)
    except NotAvailable as error:
        show("The whole job", ["part", "seconds"], [["job", f"not available: {error}"]])
        save("job", {"data": given.data, "not_available": str(error)})
        return
    count = result["images"]
    title = (
        f"lll train --method gradual --epochs {epochs} on {result['device']}: "
        f"{count['train']:,} + {count['test']:,} images"
    )
    show(title, ["part", "seconds", "share", "per epoch"], rows(result))
    save("job", result)


if __name__ == "__main__":
    main()
