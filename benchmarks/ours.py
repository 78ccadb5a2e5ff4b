"""The library's worker: one step at a time, and what this machine can do at best.

Started by `step.py` and `peers.py`, measured in process by `gpu.py`.
"""

from __future__ import annotations

import argparse
import itertools
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from worker import answer_channel, cores, serve, time_steps

VARIANTS: dict[str, dict[str, Any]] = {
    "default": {},
    "plain": {"plain": True},
    "float32": {"precision": "float32"},
    "float32 plain": {"precision": "float32", "plain": True},
}
"""Ways to take the same step, by name: what `make_step` is given for each.

`gpu.py` measures all of them; the last is what the losses of the others are compared with.
"""

LABELLED_SHARE = 0.5
BOTH = ("contrast", "classify")


@dataclass(frozen=True)
class Step:
    """One training step: call it for its figures. ``why_plain`` says why no graph is taken."""

    run: Callable[[], dict[str, Any]]
    why_plain: Callable[[], str | None]

    def __call__(self) -> dict[str, Any]:
        """Take it."""
        return self.run()


def make_step(
    encoder: str,
    batch: int,
    labelled: int,
    device: str,
    *,
    steps: tuple[str, ...] = BOTH,
    plain: bool = False,
    **settings: Any,
) -> Step:
    """One training step of `gradual` by the library's own code; each call returns its figures.

    ``batch`` images of which the first ``labelled`` carry a label, already on ``device``.
    ``steps`` leaves some of the method's steps out; ``plain`` takes no CUDA graph; ``settings``
    are further keys of RunConfig. The only place that touches the library's internals.
    """
    import torch

    from lll import RunConfig
    from lll.learn.graphs import Replayed
    from lll.learn.prepare import prepare
    from lll.methods.batch import Batch, Pool
    from lll.runs.train import begin
    from lll.seeding import derive

    config = RunConfig(
        data="synthetic", encoder=encoder, batch_size=batch, device=device, **settings
    )
    data = synthetic_data(batch)
    prepared = prepare(config, data)
    learner = begin(prepared)
    learner.set_rates(prepared.rates(0))
    draws = torch.Generator(prepared.device)
    views = prepared.views(draws)
    images = torch.from_numpy(data.train.images).to(device).permute(0, 3, 1, 2)
    targets = torch.from_numpy(data.train.labels[:labelled]).to(device)
    rows = torch.arange(batch, device=device)
    taken = Batch(
        Pool(images[:labelled], rows[:labelled], (labelled,), views),
        targets,
        Pool(images[labelled:], rows[labelled:], (batch - labelled,), views),
    )
    chosen = [step for step in learner.stages[0] if step.name in steps]

    def some(batch: Batch) -> dict[str, Any]:
        return {step.name: learner.take(step, batch) for step in chosen}

    take: Any = learner.step if set(steps) == set(BOTH) else some
    if torch.device(device).type == "cuda" and not plain:
        take = Replayed(take, draws, learner.changing)
    numbers = itertools.count()

    def run() -> dict[str, Any]:
        draws.manual_seed(derive(0, "views", 0, next(numbers)))
        return dict(take(taken))

    return Step(run, lambda: getattr(take, "reason", None))


def synthetic_data(images: int) -> Any:
    """A DataSet of ``images`` random 32x32 training images in ten classes."""
    import numpy as np

    from lll import DataSet, ImageSet

    random = np.random.default_rng(0)

    def draw(n: int, prefix: str) -> ImageSet:
        pixels = random.integers(0, 256, (n, 32, 32, 3), dtype=np.uint8)
        ids = np.array([f"{prefix}/{i:05d}" for i in range(n)])
        return ImageSet(pixels, np.arange(n) % 10, ids)

    names = tuple(str(c) for c in range(10))
    return DataSet("synthetic", names, draw(images, "train"), draw(10, "test"))


def matmul_rates(device: str, shapes: list[list[int]], dtype: str) -> dict[str, Any]:
    """FLOP/s that [m, k] x [k, n] products keep up, for each (m, n, k) of ``shapes``."""
    import torch

    def rate(m: int, n: int, k: int) -> float:
        a = torch.rand(m, k, device=device, dtype=getattr(torch, dtype))
        b = torch.rand(k, n, device=device, dtype=getattr(torch, dtype))
        out = torch.empty(m, n, device=device, dtype=a.dtype)
        return 2.0 * m * n * k / _seconds(lambda: torch.mm(a, b, out=out), device)

    return {"rates": [rate(*shape) for shape in shapes]}


def copy_bandwidth(device: str, megabytes: int) -> dict[str, Any]:
    """Bytes per second read plus written when a buffer far above the caches is copied."""
    import torch

    source = torch.zeros(megabytes << 20, dtype=torch.uint8, device=device)
    target = torch.ones_like(source)
    return {"bandwidth": 2.0 * source.numel() / _seconds(lambda: target.copy_(source), device)}


def finish_of(device: str) -> Callable[[], object]:
    """What waits until ``device`` has done all it was given."""
    import torch

    return torch.cuda.synchronize if device.startswith("cuda") else lambda: None


def _seconds(work: Callable[[], object], device: str, budget: float = 0.4) -> float:
    """Mean seconds of one ``work`` when it is repeated for about ``budget`` seconds."""
    finish = finish_of(device)
    time_steps(work, 1, finish)
    once = time_steps(work, 1, finish)["seconds"]
    repeats = max(1, round(budget / once))
    return float(time_steps(work, repeats, finish)["seconds"]) / repeats


def main() -> None:
    """Build the step, warm up, answer."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--encoder", default="convnet")
    parser.add_argument("--batch", type=int, default=525)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--steps", nargs="+", default=list(BOTH))
    parser.add_argument("--contrast", default="info_nce")
    parser.add_argument("--precision", default="auto")
    parser.add_argument("--warm-up", type=int, default=3)
    given = parser.parse_args()
    channel = answer_channel()

    # The process settings that the command line begins with.
    from lll.learn.memory import keep_freed_memory

    keep_freed_memory()
    import torch

    torch.set_num_threads(cores())
    step = make_step(
        given.encoder,
        given.batch,
        int(given.batch * LABELLED_SHARE),
        given.device,
        steps=tuple(given.steps),
        contrast=given.contrast,
        precision=given.precision,
    )
    finish = finish_of(given.device)
    time_steps(step, given.warm_up, finish)
    once = time_steps(step, 1, finish)["seconds"]
    serve(
        channel,
        {
            "steps": lambda steps: time_steps(step, steps, finish),
            "matmul": lambda shapes, dtype: matmul_rates(given.device, shapes, dtype),
            "copy": lambda megabytes: copy_bandwidth(given.device, megabytes),
        },
        {
            "batch": given.batch,
            "step_seconds": once,
            "threads": torch.get_num_threads(),
            "versions": {"torch": torch.__version__},
        },
    )


if __name__ == "__main__":
    main()
