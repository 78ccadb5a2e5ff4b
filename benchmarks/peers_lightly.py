"""lightly's SimCLR as its documentation shows it for plain PyTorch, with our encoder.

Its transform, loss, projection head class and a torch DataLoader, after the example
``examples/pytorch/simclr.py`` of its documentation. Runs in an environment of its own; see
`peers.py`.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Iterator
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import library as operators
from torch import nn
from torch.utils.data import DataLoader, Dataset
from worker import answer_channel, cores, serve

IMAGES = 50_000  # as CIFAR-10
PREFETCH = 2  # batches ahead per loader process: torch's default


def import_torchvision() -> str:
    """Import torchvision and say its version.

    A torchvision built for GPUs will not load its own operators beside a torch without them,
    and then fails to import over two that it wants to describe and that SimCLR never calls.
    They are declared for it here, without an implementation.
    """
    try:
        import torchvision
    except RuntimeError:
        for name in [name for name in sys.modules if name.split(".")[0] == "torchvision"]:
            del sys.modules[name]
        declared = operators.Library("torchvision", "DEF")
        for name in ("nms", "qnms"):
            declared.define(f"{name}(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
        _KEPT.append(declared)
        import torchvision
    return str(torchvision.__version__)


_KEPT: list[Any] = []  # a library's declarations go when it does


class Images(Dataset):  # type: ignore[type-arg]
    """uint8 images in memory, given as PIL images to the transform, as torchvision's CIFAR10."""

    def __init__(self, count: int, transform: Any) -> None:
        self.data = np.random.default_rng(0).integers(0, 256, (count, 32, 32, 3), dtype=np.uint8)
        self.targets = [i % 10 for i in range(count)]
        self.transform = transform

    def __len__(self) -> int:
        return len(self.data)

    def __getitem__(self, index: int) -> tuple[Any, int]:
        return self.transform(Image.fromarray(self.data[index])), self.targets[index]


def convnet(width: int = 128) -> nn.Sequential:
    """The library's `convnet` of 32x32 images."""
    parts: list[nn.Module] = []
    for inputs in (3, width, width, width):
        parts += [nn.Conv2d(inputs, width, 3, stride=2), nn.LeakyReLU(0.2, inplace=True)]
    return nn.Sequential(
        *parts, nn.Flatten(), nn.Linear(width, width), nn.LeakyReLU(0.2, inplace=True)
    )


class SimCLR(nn.Module):
    """Encoder and projection head, as in lightly's example."""

    def __init__(self, backbone: nn.Module, width: int = 128) -> None:
        super().__init__()
        from lightly.models.modules import SimCLRProjectionHead

        self.backbone = backbone
        self.projection_head = SimCLRProjectionHead(width, width, width, batch_norm=False)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """Images [n, 3, 32, 32] to projections [n, width]."""
        projected: torch.Tensor = self.projection_head(self.backbone(images).flatten(start_dim=1))
        return projected


def endless(loader: DataLoader[Any]) -> Iterator[Any]:
    """Batch after batch, epoch after epoch."""
    while True:
        yield from loader


class Training:
    """lightly's loop, cut into steps."""

    def __init__(self, batch: int, workers: int, blur: float) -> None:
        from lightly.loss import NTXentLoss
        from lightly.transforms import SimCLRTransform

        transform = SimCLRTransform(input_size=32, gaussian_blur=blur)
        self.loader = DataLoader(
            Images(IMAGES, transform),
            batch_size=batch,
            shuffle=True,
            drop_last=True,
            num_workers=workers,
            prefetch_factor=PREFETCH,
            persistent_workers=True,
        )
        self.batches = endless(self.loader)
        self.model = SimCLR(convnet())
        self.criterion = NTXentLoss(temperature=0.1)
        self.optimizer = torch.optim.Adam(self.model.parameters(), lr=1e-3)

    def step(self) -> None:
        """Take the next batch from the loader and learn from it."""
        (first, second), _ = next(self.batches)
        loss = self.criterion(self.model(first), self.model(second))
        loss.backward()
        self.optimizer.step()
        self.optimizer.zero_grad()

    def timed(self, steps: int) -> dict[str, Any]:
        """Seconds of ``steps`` steps, after as many as the loader had ready when it was woken."""
        for _ in range(PREFETCH * self.loader.num_workers):
            self.step()
        begun = time.perf_counter()
        for _ in range(steps):
            self.step()
        return {"steps": steps, "seconds": time.perf_counter() - begun}


def main() -> None:
    """Build the loop, warm up, answer."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--batch", type=int, default=525)
    parser.add_argument("--workers", type=int, default=cores(), help="loader processes")
    parser.add_argument(
        "--blur", type=float, default=0.0, help="its share of blurred views; none is faster"
    )
    given = parser.parse_args()
    channel = answer_channel()
    torchvision = import_torchvision()
    import lightly

    torch.set_num_threads(cores())
    training = Training(given.batch, given.workers, given.blur)
    warm = training.timed(2)
    serve(
        channel,
        {"steps": training.timed},
        {
            "batch": given.batch,
            "step_seconds": warm["seconds"] / warm["steps"],
            "threads": torch.get_num_threads(),
            "workers": given.workers,
            "versions": {
                "lightly": lightly.__version__,
                "torch": torch.__version__,
                "torchvision": torchvision,
            },
        },
    )


if __name__ == "__main__":
    main()
