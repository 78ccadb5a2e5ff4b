"""What the loss tests share: random inputs, the sandbox rules beside their twins, op records."""

from collections.abc import Callable
from typing import Any

import torch
from tests.reference import slow_losses as slow
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode

from lll.methods.sandbox.meta_distance import meta_distance
from lll.methods.sandbox.meta_reclassify import meta_reclassify
from lll.methods.sandbox.reclassify import reclassify_per_class, reclassify_weighted
from lll.methods.sandbox.soft_lookup import soft_lookup

CLASSES = 5

# (U, L, targets, pseudo probe) -> a loss, or one per class present
Rule = Callable[[Tensor, Tensor, Tensor, nn.Module], Tensor]

RULES: dict[str, tuple[Rule, Rule]] = {
    "soft_lookup": (soft_lookup, slow.soft_lookup),
    "meta_reclassify": (meta_reclassify, slow.meta_reclassify),
    "per_class_dot": (
        lambda U, L, y, _: reclassify_per_class(U, L, y, "dot"),
        lambda U, L, y, _: slow.reclassify_per_class(U, L, y, "dot"),
    ),
    "per_class_inverse_distance": (
        lambda U, L, y, _: reclassify_per_class(U, L, y, "inverse_distance"),
        lambda U, L, y, _: slow.reclassify_per_class(U, L, y, "inverse_distance"),
    ),
    "weighted_dot": (
        lambda U, L, y, _: reclassify_weighted(U, L, y, "dot"),
        lambda U, L, y, _: slow.reclassify_weighted(U, L, y, "dot"),
    ),
    "weighted_inverse_distance": (
        lambda U, L, y, _: reclassify_weighted(U, L, y, "inverse_distance"),
        lambda U, L, y, _: slow.reclassify_weighted(U, L, y, "inverse_distance"),
    ),
    "meta_distance_attract": (
        lambda U, L, _, __: meta_distance(U, L),
        lambda U, L, _, __: slow.meta_distance_loss(U, L, "attract"),
    ),
    "meta_distance_repel": (
        lambda U, L, _, __: meta_distance(U, L, "repel"),
        lambda U, L, _, __: slow.meta_distance_loss(U, L, "repel"),
    ),
}


def normal(*shape: int, seed: int, scale: float = 1.0, dtype: torch.dtype) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(*shape, generator=generator, dtype=torch.float64).to(dtype) * scale


def batch(
    unlabelled: int,
    labelled: int,
    d: int,
    *,
    classes: int = CLASSES,
    scale: float = 1.0,
    seed: int = 0,
    dtype: torch.dtype = torch.float64,
) -> tuple[Tensor, Tensor, Tensor, nn.Linear]:
    """Random U [unlabelled, d], L [labelled, d], targets [labelled] among the last
    ``classes``, and a pseudo probe.
    """
    U = normal(unlabelled, d, seed=3 * seed, scale=scale, dtype=dtype)
    L = normal(labelled, d, seed=3 * seed + 1, scale=scale, dtype=dtype)
    generator = torch.Generator().manual_seed(seed)
    targets = torch.randint(CLASSES - classes, CLASSES, (labelled,), generator=generator)
    probe = nn.Linear(d, CLASSES, dtype=dtype)
    with torch.no_grad():
        probe.weight.copy_(normal(CLASSES, d, seed=3 * seed + 2, dtype=dtype))
        probe.bias.copy_(normal(CLASSES, seed=3 * seed + 2, dtype=dtype))
    return U, L, targets, probe


def value_and_gradients(
    loss: Callable[..., Tensor], *inputs: Tensor, also: tuple[Tensor, ...] = ()
) -> list[Tensor]:
    """``loss(*inputs)``, then its gradients by every input and by the tensors in ``also``.

    A vector of losses is summed with unequal weights, so that no two can be exchanged.
    """
    leaves = [x.detach().clone().requires_grad_() for x in inputs]
    value = loss(*leaves)
    weights = torch.arange(1, value.numel() + 1, dtype=value.dtype).reshape(value.shape)
    wanted = [*leaves, *also]
    if not value.requires_grad:
        return [value, *(torch.zeros_like(x) for x in wanted)]
    gradients = torch.autograd.grad(
        (value * weights).sum(), wanted, allow_unused=True, materialize_grads=True
    )
    return [value.detach(), *gradients]


def rule_value_and_gradients(
    rule: Rule, U: Tensor, L: Tensor, targets: Tensor, probe: nn.Module
) -> list[Tensor]:
    """Value of the rule and its gradients by U, L and the pseudo probe's parameters."""
    return value_and_gradients(
        lambda U, L: rule(U, L, targets, probe), U, L, also=tuple(probe.parameters())
    )


def assert_close(fast: list[Tensor], slow_ones: list[Tensor], tolerance: float = 1e-9) -> None:
    """Equal up to ``tolerance`` times the largest entry of each slow tensor (at least 1)."""
    assert len(fast) == len(slow_ones)
    for a, b in zip(fast, slow_ones, strict=True):
        assert a.shape == b.shape
        if b.numel():
            scale = max(1.0, b.abs().max().item())
            torch.testing.assert_close(a / scale, b / scale, rtol=0, atol=tolerance)


class OperatorRecord(TorchDispatchMode):
    """The operators that ran inside the ``with`` block, and the size of their largest result."""

    def __init__(self) -> None:
        super().__init__()
        self.names: list[str] = []
        self.largest = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        result = func(*args, **(kwargs or {}))
        self.names.append(str(func))
        for item in result if isinstance(result, tuple | list) else (result,):
            if isinstance(item, Tensor):
                self.largest = max(self.largest, item.numel())
        return result
