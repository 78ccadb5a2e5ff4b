"""Time per image and peak memory as the set grows, and with one and two processes.

    python benchmarks/growth.py
    python benchmarks/growth.py --counts 10000 100000

Random 32x32 images in a memory-mapped file are trained on by the `gradual` method. For each
count there is a process; they take turns, so that the ratio of their step times is that of the
same minutes. The file stays in the system's temporary folder and is used again.
"""

from __future__ import annotations

import argparse
import tempfile
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from common import HERE, NotAvailable, Worker, alternate, save, show, show_line, shown, spread

COUNTS = (10_000, 100_000, 1_000_000)
WIDTH = 32  # a quarter of the default: less computing, so that reading weighs more
BATCH = 525
CHUNK = 50_000  # images
FOLDER = Path(tempfile.gettempdir()) / "lll-bench-growth"


def mapped_images(count: int, folder: Path) -> Path:
    """A file of at least ``count`` random images, uint8 [n, 32, 32, 3] in .npy."""
    import numpy as np

    path = folder / "images.npy"
    if path.exists() and len(np.load(path, mmap_mode="r")) >= count:
        return path
    folder.mkdir(parents=True, exist_ok=True)
    part = folder / "images.part"
    shape = (count, 32, 32, 3)
    show_line(f"growth: writing {count:,} images into {path} ...")
    images = np.lib.format.open_memmap(part, mode="w+", dtype=np.uint8, shape=shape)
    random = np.random.default_rng(0)
    for start in range(0, count, CHUNK):
        rows = images[start : start + CHUNK]
        rows[:] = random.integers(0, 256, rows.shape, dtype=np.uint8)
    images.flush()
    part.rename(path)
    return path


def start(path: Path, count: int, device: str, processes: int = 1) -> Worker:
    """A worker that trains on the first ``count`` images."""
    command = [HERE / "growth_worker.py", "--images", path, "--count", count]
    command += ["--width", WIDTH, "--batch", BATCH, "--device", device, "--processes", processes]
    return Worker(f"growth-{count}-{processes}", command)


def measure(
    path: Path, cases: list[tuple[int, int]], device: str, rounds: int, seconds: float
) -> list[dict[str, Any]]:
    """Every (count, processes) of ``cases`` in turn; what each took, and its peaks."""
    results = []
    with ExitStack() as stack:
        workers = [stack.enter_context(start(path, n, device, p)) for n, p in cases]
        rates = alternate(workers, rounds, seconds)
        for (count, processes), worker in zip(cases, workers, strict=True):
            last = worker.ask("steps", steps=1)
            ready, mine = worker.ready, rates[worker.name]
            epoch_start = ready["epoch_start_seconds"] / (ready["steps_per_epoch"] * BATCH)
            results.append(
                {
                    "count": count,
                    "processes": processes,
                    **ready,
                    "images_per_second": spread(mine),
                    "step_seconds_per_image": spread([1 / rate for rate in mine]),
                    "seconds_per_image": spread([1 / rate + epoch_start for rate in mine]),
                    "peaks": {k: last[k] for k in ("anonymous_bytes", "resident_bytes")},
                }
            )
    return results


def compared(results: list[dict[str, Any]], reference: dict[str, Any]) -> list[dict[str, Any]]:
    """``results`` with the ratio of their time per image to that of ``reference``, by round."""
    base = reference["seconds_per_image"]["all"]
    for result in results:
        mine = result["seconds_per_image"]["all"]
        result["ratio"] = spread([a / b for a, b in zip(mine, base, strict=True)])
    return results


def row(result: dict[str, Any]) -> list[str]:
    """One line of the table."""
    peaks, baseline = result["peaks"], result["baseline"]
    micro = {k: v * 1e6 for k, v in result["seconds_per_image"].items() if k != "all"}
    return [
        f"{result['count']:,}",
        str(result["processes"]),
        shown(micro, ".1f"),
        shown(result["ratio"], ".3f"),
        f"{result['data_seconds'] + result['prepare_seconds']:.2f}",
        f"{result['epoch_start_seconds']:.2f}",
        _mega(peaks["anonymous_bytes"] - baseline["anonymous_bytes"]),
        _mega(result["label_and_id_bytes"]),
        _mega(peaks["resident_bytes"] - baseline["resident_bytes"]),
    ]


COLUMNS = (
    "images",
    "processes",
    "µs / image",
    "to reference",
    "prepare s",
    "epoch start s",
    "anonymous MB",
    "labels + ids MB",
    "resident MB",
)


def _mega(count: float) -> str:
    return f"{count / 1e6:,.0f}"


def main() -> None:
    """Measure, print the tables, write the JSON."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--counts", type=int, nargs="+", default=list(COUNTS))
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--seconds", type=float, default=2.0, help="of each round of each worker")
    parser.add_argument("--device", default="auto")
    parser.add_argument("--folder", type=Path, default=FOLDER, help="of the mapped file")
    given = parser.parse_args()
    path = mapped_images(max(given.counts), given.folder)
    middle = sorted(given.counts)[len(given.counts) // 2]
    show_line("growth: sizes in turn ...")
    pace = (given.device, given.rounds, given.seconds)
    sizes = measure(path, [(count, 1) for count in sorted(given.counts)], *pace)
    reference = next(result for result in sizes if result["count"] == middle)
    compared(sizes, reference)
    title = f"Growth, gradual on convnet of width {WIDTH}, batch {BATCH}: reference {middle:,}"
    show(title, COLUMNS, [row(result) for result in sizes])
    together = two_processes(path, middle, pace)
    if isinstance(together, str):
        show("Two processes", ["case", "result"], [["2 processes", f"not available: {together}"]])
    else:
        title = "Ranks: the same cores, shared; memory is that of the first process"
        show(title, COLUMNS, [row(result) for result in together])
    save("growth", {"width": WIDTH, "sizes": sizes, "processes": together})


def two_processes(
    path: Path, count: int, pace: tuple[str, int, float]
) -> list[dict[str, Any]] | str:
    """One process and two in turn on ``count`` images; or why that cannot be."""
    try:
        both = measure(path, [(count, 1), (count, 2)], *pace)
    except NotAvailable as error:
        return str(error)
    return compared(both, both[0])


if __name__ == "__main__":
    main()
