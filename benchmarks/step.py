"""Images per second of one `gradual` step, beside the floor of this machine.

    python benchmarks/step.py
    python benchmarks/step.py --encoder convnet --rounds 7

Steps, matrix products and copies take turns in one process, so that what slows the machine
slows them all. The floor is the larger of FLOPs / best measured product rate and
bytes / measured copy bandwidth; see `floor.py` for what is counted.
"""

from __future__ import annotations

import argparse
import statistics
from dataclasses import dataclass
from typing import Any

from common import (
    HERE,
    NotAvailable,
    Worker,
    save,
    show,
    show_line,
    shown,
    spread,
    steps_for,
)
from floor import count, floor_seconds


@dataclass(frozen=True)
class Case:
    """One row: an encoder, its batch, and how much patience it gets."""

    encoder: str
    batch: int
    rounds: int
    seconds: float
    warm_up: int


CPU_CASES = (Case("convnet", 525, 7, 3.0, 3), Case("resnet18", 512, 2, 1.0, 0))
GPU_CASES = (Case("convnet", 525, 7, 2.0, 30), Case("resnet18", 512, 7, 2.0, 10))
SQUARE = {"cpu": [2048, 2048, 2048], "cuda": [8192, 8192, 8192]}
DTYPE = {"cpu": "float32", "cuda": "bfloat16"}
COPY_MEGABYTES = {"cpu": 256, "cuda": 2048}


def measure(case: Case, device: str) -> dict[str, Any]:
    """Steps, products and copies in turn; everything that was measured and the floor from it."""
    work = count(case.encoder, case.batch, case.batch // 2, 2 if device == "cuda" else 4)
    shapes = [SQUARE[device], *work["shapes"]]
    command = [HERE / "ours.py", "--encoder", case.encoder, "--batch", case.batch]
    command += ["--device", device, "--warm-up", case.warm_up]
    command += ["--precision", DTYPE[device]]
    seconds: list[float] = []
    rates: list[list[float]] = []
    bandwidths: list[float] = []
    with Worker(f"step-{case.encoder}-{device}", command) as worker:
        steps = steps_for(worker, case.seconds)
        for _ in range(case.rounds):
            rates.append(worker.ask("matmul", shapes=shapes, dtype=DTYPE[device])["rates"])
            took = worker.ask("steps", steps=steps)
            seconds.append(took["seconds"] / took["steps"])
            bandwidths.append(worker.ask("copy", megabytes=COPY_MEGABYTES[device])["bandwidth"])
        ready = worker.ready
    best = max(statistics.median(column) for column in zip(*rates, strict=True))
    floor = floor_seconds(work, best, statistics.median(bandwidths))
    return {
        "encoder": case.encoder,
        "batch": case.batch,
        "device": device,
        "threads": ready["threads"],
        "steps_per_round": steps,
        "work": work,
        "step_seconds": spread(seconds),
        "images_per_second": spread([case.batch / s for s in seconds]),
        "matmul_dtype": DTYPE[device],
        "matmul_flop_per_second": [
            {"shape": shape, **spread(column)}
            for shape, column in zip(shapes, zip(*rates, strict=True), strict=True)
        ],
        "copy_bytes_per_second": spread(bandwidths),
        "floor_seconds": floor,
        "floor_seconds_compute": work["flops"] / best,
        "floor_seconds_memory": work["bytes"] / statistics.median(bandwidths),
        # Each round against the products of the same round.
        "floor_over_measured": spread(
            [
                floor_seconds(work, max(r), b) / s
                for r, b, s in zip(rates, bandwidths, seconds, strict=True)
            ]
        ),
    }


def row(result: dict[str, Any]) -> list[str]:
    """One line of the table."""
    head = [f"{result['encoder']} {result['batch']}", result["device"]]
    if "not_available" in result:
        return [*head, f"not available: {result['not_available']}", *[""] * 5]
    best = max(r["median"] for r in result["matmul_flop_per_second"])
    return [
        *head,
        shown(result["images_per_second"]),
        f"{result['step_seconds']['median'] * 1e3:,.1f}",
        f"{result['floor_seconds'] * 1e3:,.1f}",
        shown({k: v * 100 for k, v in result["floor_over_measured"].items() if k != "all"}, ".0f"),
        f"{best / 1e9:,.0f}",
        f"{result['copy_bytes_per_second']['median'] / 1e9:,.1f}",
    ]


COLUMNS = (
    "step",
    "device",
    "images/s",
    "step ms",
    "floor ms",
    "floor / step %",
    "matmul GFLOP/s",
    "copy GB/s",
)


def devices(asked: list[str] | None) -> list[str]:
    """The devices that were asked for; without, the CPU and a GPU if there is one."""
    import torch

    return asked or (["cpu", "cuda"] if torch.cuda.is_available() else ["cpu"])


def main() -> None:
    """Measure every case on every device, print the table, write the JSON."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--device", action="append", choices=["cpu", "cuda"])
    parser.add_argument("--encoder", action="append", choices=[case.encoder for case in CPU_CASES])
    parser.add_argument("--rounds", type=int, help="in place of each case's own number")
    given = parser.parse_args()
    results = []
    for device in devices(given.device):
        for case in CPU_CASES if device == "cpu" else GPU_CASES:
            if given.encoder and case.encoder not in given.encoder:
                continue
            show_line(f"step: {case.encoder} {case.batch} on {device} ...")
            if given.rounds:
                case = Case(case.encoder, case.batch, given.rounds, case.seconds, case.warm_up)
            results.append(measured_or_not(case, device))
    title = "One gradual step: median (least – greatest) over the rounds"
    show(title, COLUMNS, [row(result) for result in results])
    save("step", {"cases": results})


def measured_or_not(case: Case, device: str) -> dict[str, Any]:
    """`measure`, or why it could not be."""
    from lll import UserError

    try:
        return measure(case, device)
    except (NotAvailable, UserError) as error:
        head = {"encoder": case.encoder, "batch": case.batch, "device": device}
        return {**head, "not_available": str(error)}


if __name__ == "__main__":
    main()
