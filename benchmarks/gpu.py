"""Everything that a GPU is measured on, in one process and under ten minutes.

    python benchmarks/gpu.py --out results --data photos/
    PYTHONPATH=src python benchmarks/gpu.py --out results      # without installing
    python benchmarks/gpu.py --device cpu --quick --out /tmp/x # proves that it works

Needs what the library imports to train (torch, numpy, pydantic, jaxtyping, safetensors), and no
network. Measures: the `gradual` step in every variant of `ours.VARIANTS`, variants in turn,
beside the floor from products and copies measured in the same minutes; that each variant gives
the losses of the plain float32 one; and, given ``--data``, the whole job. What cannot be
measured is a row that says why. ``--out`` gets ``gpu.json``, written anew after each part.
"""

from __future__ import annotations

import argparse
import gc
import math
import statistics
import sys
import time
from pathlib import Path
from typing import Any

from common import ROOT, NotAvailable, save, show, show_line, shown, spread
from floor import count, floor_seconds
from ours import VARIANTS, Step, copy_bandwidth, finish_of, make_step, matmul_rates
from worker import time_steps

CASES = (("convnet", 525), ("convnet", 2100), ("convnet", 8400), ("resnet18", 512))
CASES += (("resnet18", 1024),)
QUICK_CASES = (("convnet", 32), ("resnet18", 16))
WARM_UP = 10  # steps: the first is plain, the second is recorded, the rest settle clocks
COMPARED_STEPS = 5
# Of a loss, against plain float32 after the same steps from the same start. bfloat16 keeps 8
# bits of each number, and Adam's first steps make much of the sign of a small gradient.
TOLERANCE = {"float32": 0.01, "half": 0.10}
TARGETS = {("convnet", 525): 1_000_000, ("resnet18", 512): 30_000}
BUDGET = 480  # seconds after which no further case is begun


def measure(
    encoder: str, batch: int, device: str, rounds: int, seconds: float
) -> list[dict[str, Any]]:
    """Each variant's images per second in rounds of about ``seconds``, variants in turn."""
    import torch

    finish = finish_of(device)
    runs: dict[str, Step] = {}
    failed: dict[str, str] = {}
    steps: dict[str, int] = {}
    for name, settings in VARIANTS.items():
        try:
            run = make_step(encoder, batch, batch // 2, device, **settings)
            time_steps(run, WARM_UP if device == "cuda" else 1, finish)
            once = time_steps(run, 3 if device == "cuda" else 1, finish)
        except (RuntimeError, ValueError) as error:
            failed[name] = str(error).splitlines()[0]
            continue
        runs[name] = run
        steps[name] = max(1, round(seconds * once["steps"] / once["seconds"]))
    rates: dict[str, list[float]] = {name: [] for name in runs}
    best, bandwidths = [], []
    work = count(encoder, batch, batch // 2, 2 if device == "cuda" else 4)
    dtype, side = ("bfloat16", 8192) if device == "cuda" else ("float32", 512)
    shapes = [[side] * 3, *work["shapes"]]
    for _ in range(rounds):
        best.append(max(matmul_rates(device, shapes, dtype)["rates"]))
        bandwidths.append(copy_bandwidth(device, 2048 if device == "cuda" else 64)["bandwidth"])
        for name, run in runs.items():
            took = time_steps(run, steps[name], finish)
            rates[name].append(batch * took["steps"] / took["seconds"])
    floor = floor_seconds(work, statistics.median(best), statistics.median(bandwidths))
    peak = torch.cuda.max_memory_allocated() if device == "cuda" else 0
    common = {
        "encoder": encoder,
        "batch": batch,
        "work": work,
        "matmul_dtype": dtype,
        "matmul_flop_per_second": spread(best),
        "copy_bytes_per_second": spread(bandwidths),
        "floor_images_per_second": batch / floor,
        "memory_bytes_of_all_variants": peak,
        "target": TARGETS.get((encoder, batch)),
    }
    return [
        {
            **common,
            "variant": name,
            "plain_because": runs[name].why_plain() if name in runs else None,
            **_rate(name, rates, failed, common),
        }
        for name in VARIANTS
    ]


def _rate(
    name: str, rates: dict[str, list[float]], failed: dict[str, str], common: dict[str, Any]
) -> dict[str, Any]:
    if name in failed:
        return {"not_available": failed[name]}
    per_second = spread(rates[name])
    return {
        "images_per_second": per_second,
        "floor_over_measured": per_second["median"] / common["floor_images_per_second"],
    }


def losses(
    encoder: str, batch: int, device: str, settings: dict[str, Any]
) -> list[dict[str, float]]:
    """The figures of the first steps of a variant."""
    run = make_step(encoder, batch, batch // 2, device, **settings)
    return [{k: float(v) for k, v in run().items()} for _ in range(COMPARED_STEPS)]


def check(encoder: str, batch: int, device: str) -> list[dict[str, Any]]:
    """How far each variant's losses are from those of the last, which is the plain one."""
    seen: dict[str, list[dict[str, float]]] = {}
    plain = list(VARIANTS)[-1]
    results = []
    for name in [plain, *(name for name in VARIANTS if name != plain)]:
        result: dict[str, Any] = {"encoder": encoder, "batch": batch, "variant": name}
        try:
            seen[name] = losses(encoder, batch, device, VARIANTS[name])
        except (RuntimeError, ValueError) as error:
            results.append({**result, "not_available": str(error).splitlines()[0]})
            continue
        apart = _apart(seen[name], seen[plain])
        exact = VARIANTS[name].get("precision") == "float32"
        allowed = TOLERANCE["float32" if exact else "half"]
        results.append(
            {
                **result,
                "losses": seen[name],
                "apart": apart,
                "allowed": allowed,
                "same": apart <= allowed,
            }
        )
    return results


def _apart(mine: list[dict[str, float]], plain: list[dict[str, float]]) -> float:
    """Greatest difference of a loss, as a share of the plain loss; infinite for NaN."""
    shares = [
        abs(step[name] - value) / max(abs(value), 1e-6)
        for step, reference in zip(mine, plain, strict=True)
        for name, value in reference.items()
        if name.endswith("_loss")
    ]
    return max((share if math.isfinite(share) else math.inf for share in shares), default=math.inf)


def step_row(result: dict[str, Any]) -> list[str]:
    """One line of the table of steps."""
    head = [f"{result['encoder']} {result['batch']}", result["variant"]]
    if "not_available" in result:
        return [*head, f"not available: {result['not_available']}", "", "", ""]
    target = result["target"]
    if result["plain_because"]:
        head[1] += f" (no graph: {result['plain_because']})"
    return [
        *head,
        shown(result["images_per_second"]),
        f"{result['floor_images_per_second']:,.0f}",
        f"{100 * result['floor_over_measured']:.0f} %",
        f"{target:,}" if target else "",
    ]


def check_row(result: dict[str, Any]) -> list[str]:
    """One line of the table of checks."""
    head = [f"{result['encoder']} {result['batch']}", result["variant"]]
    if "not_available" in result:
        return [*head, f"not available: {result['not_available']}", "", ""]
    verdict = "same" if result["same"] else "DIFFERENT"
    return [*head, f"{result['apart']:.2e}", f"{result['allowed']:g}", verdict]


def whole_job(data: str | None, device: str, epochs: int) -> dict[str, Any]:
    """The result of `job.measure`, or why there is none."""
    import job

    if data is None:
        return {"not_available": "give --data"}
    try:
        return job.measure(data, epochs, device)
    except NotAvailable as error:
        return {"not_available": str(error)}


def show_job(result: dict[str, Any]) -> None:
    """The table of `job.py`."""
    import job

    if "not_available" in result:
        show("The whole job", ["job"], [[f"not available: {result['not_available']}"]])
        return
    title = f"The whole job, {len(result['epochs'])} epochs on {result['device']}"
    show(title, ["part", "seconds", "share", "per epoch"], job.rows(result))


def facts(device: str) -> dict[str, Any]:
    """What the device is."""
    import torch

    if device != "cuda":
        return {"device": device}
    properties = torch.cuda.get_device_properties(0)
    return {
        "device": properties.name,
        "memory_bytes": properties.total_memory,
        "processors": properties.multi_processor_count,
        "cuda": torch.version.cuda,
        "cudnn": torch.backends.cudnn.version(),
    }


def main() -> None:
    """Measure, print the tables, write the JSON."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--out", type=Path, default=ROOT / "runs" / "bench")
    parser.add_argument("--device", choices=["cuda", "cpu"], default="cuda")
    parser.add_argument("--quick", action="store_true", help="small batches, one epoch")
    parser.add_argument("--data", help="a data set or path, for the whole job")
    given = parser.parse_args()
    begun = time.perf_counter()
    from lll.learn.memory import keep_freed_memory

    keep_freed_memory()
    import torch

    if given.device == "cuda" and not torch.cuda.is_available():
        sys.exit("no GPU here: give --device cpu --quick to see that this works")
    results: dict[str, Any] = {"gpu": facts(given.device), "steps": [], "checks": []}
    cases = QUICK_CASES if given.quick else CASES
    rounds, seconds = (2, 0.1) if given.quick else (7, 0.5)

    # The job first: it counts most, and is the longest single part.
    results["job"] = whole_job(given.data, given.device, 1 if given.quick else 20)
    show_job(results["job"])
    save("gpu", results, given.out)
    for encoder, batch in cases:
        if time.perf_counter() - begun > BUDGET:
            late = {"encoder": encoder, "batch": batch, "variant": "all"}
            results["steps"].append({**late, "not_available": "out of time"})
            continue
        show_line(f"gpu: {encoder} {batch} ...")
        results["steps"] += measure(encoder, batch, given.device, rounds, seconds)
        _forget()
        if batch <= 1024:
            results["checks"] += check(encoder, batch, given.device)
            _forget()
        save("gpu", results, given.out)
    title = "One gradual step, images per second: median (least – greatest)"
    columns = ["step", "variant", "images/s", "floor", "of floor", "wanted"]
    show(title, columns, [step_row(result) for result in results["steps"]])
    title = f"Losses of the first {COMPARED_STEPS} steps against the plain float32 ones"
    columns = ["step", "variant", "greatest difference", "allowed", ""]
    show(title, columns, [check_row(result) for result in results["checks"]])
    results["seconds"] = time.perf_counter() - begun
    save("gpu", results, given.out)


def _forget() -> None:
    import torch

    gc.collect()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats()


if __name__ == "__main__":
    main()
