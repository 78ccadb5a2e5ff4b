"""The least work of one `gradual` step, counted layer by layer: FLOPs, bytes, products.

A floor, so it counts what no implementation can leave out: the products of the layers, and one
pass over each activation for each time that the algorithm needs it, as if all that is done
element by element were fused into a product beside it.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

# Adam reads weight, gradient and two moments, writes weight and two moments; the backward pass
# writes the gradient.
PASSES_PER_WEIGHT = 8


@dataclass(frozen=True)
class Product:
    """One layer as a matrix product [m, k] x [k, n] per image, m rows (pixels) of it.

    ``inputs`` is how many numbers it reads per image, which for a convolution is fewer than
    m k. ``first`` marks a layer whose input needs no gradient.
    """

    m: int
    n: int
    k: int
    inputs: int
    first: bool

    @property
    def flops(self) -> int:
        """Forward, gradient of the weights, and gradient of the input but for the first layer."""
        return 2 * self.m * self.n * self.k * (2 if self.first else 3)

    @property
    def numbers(self) -> int:
        """Numbers moved per image.

        Forward: input read, output written. Backward: input read once more, output's gradient
        read for each of the two products, input's gradient written.
        """
        outputs = self.m * self.n
        forward, for_weights = self.inputs + outputs, self.inputs + outputs
        return forward + for_weights + (0 if self.first else outputs + self.inputs)


def products(module: nn.Module, example: torch.Tensor, *, first: bool) -> list[Product]:
    """The convolutions and dense layers that ``example`` [1, ...] passes through in ``module``."""
    found: list[Product] = []

    def note(layer: nn.Module, inputs: tuple[torch.Tensor, ...], output: torch.Tensor) -> None:
        weight = layer.weight
        found.append(
            Product(
                m=output[0].numel() // weight.shape[0],
                n=weight.shape[0],
                k=weight[0].numel(),
                inputs=inputs[0][0].numel(),
                first=first and not found,
            )
        )

    layers = [part for part in module.modules() if isinstance(part, nn.Conv2d | nn.Linear)]
    hooks = [layer.register_forward_hook(note) for layer in layers]  # type: ignore[arg-type]
    with torch.no_grad():
        module.eval()(example)
    for hook in hooks:
        hook.remove()
    return found


def count(encoder: str, batch: int, labelled: int, bytes_per_number: int = 4) -> dict[str, Any]:
    """FLOPs and bytes of one step, and the products that it is made of as [m, n, k].

    ``batch`` images through two strong views, ``labelled`` of them through a weak view.
    """
    from lll.config import RunConfig
    from lll.learn.learner import build_learner

    config = RunConfig(data="x", method="gradual", encoder=encoder, image_size=32)
    modules = build_learner(config, classes=10, device=torch.device("cpu")).parts
    image = torch.zeros(1, 3, 32, 32)
    encode = products(modules["encoder"], image, first=True)
    encoding = modules["encoder"](image)
    project = products(modules["projection"], encoding, first=False)
    probe = products(modules["probe"], encoding, first=False)
    width = project[-1].n
    similarity = Product(m=batch, n=batch, k=width, inputs=2 * batch * width, first=False)
    strong, weak = 2 * batch, labelled
    passes = [(p, strong) for p in encode + project] + [(p, weak) for p in encode + probe]
    # The views: bytes read, floats written; three numbers for the three channels.
    seen = (strong + weak) * image.numel() * (1 + bytes_per_number)
    weights = sum(w.numel() for name in modules for w in modules[name].parameters())
    numbers = sum(p.numbers * images for p, images in passes) + similarity.numbers
    shapes = Counter({(p.m * strong, p.n, p.k): p.flops * strong for p in encode})
    return {
        "flops": sum(p.flops * images for p, images in passes) + similarity.flops,
        "bytes": numbers * bytes_per_number + seen + weights * 4 * PASSES_PER_WEIGHT,
        "shapes": [list(shape) for shape, _ in shapes.most_common(3)],
    }


def floor_seconds(work: dict[str, Any], flop_rate: float, bandwidth: float) -> float:
    """The slower of computing and moving, each at the machine's measured best."""
    return max(work["flops"] / flop_rate, work["bytes"] / bandwidth)
