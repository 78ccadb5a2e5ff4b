"""What a fitted estimator keeps, and how it grows: images seen, weights, optimizer states."""

from __future__ import annotations

import copy
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from lll.config import RunConfig
from lll.data.imageset import ImageSet
from lll.estimator.labels import Labels
from lll.labels.events import UNLABELLED
from lll.nets import reset_module
from lll.runs.position import Position
from lll.runs.prepare import build_optimizers, load_optimizer, pick_device
from lll.runs.train import Learner
from lll.seeding import derive, keyed_order

HEADS = ("probe", "pseudo_probe")
"""The modules with one output per class."""


@dataclass(frozen=True)
class Learnt:
    """The outcome of a call of fit or partial_fit, all of it on the host.

    ``classes`` [c] are in the order in which they came: a class keeps its index for ever.
    ``rows`` [r] says which class each output of the heads is: classes get one with their
    first labelled image. ``optimizers`` are state dictionaries by name. ``seen`` are the
    images to rehearse, labelled with class indices. ``calls`` counts the calls so far.
    """

    classes: Labels
    rows: NDArray[np.int64]
    modules: nn.ModuleDict
    optimizers: dict[str, dict[str, Any]]
    seen: ImageSet
    seed: int
    calls: int

    @property
    def features(self) -> int:
        """The width d of the encodings."""
        return int(self.modules["probe"].get_parameter("weight").shape[1])


def joined(seen: ImageSet, new: ImageSet) -> ImageSet:
    """``seen`` with the ``new`` images; one that is in both takes its new label, if it has one."""
    row_of = {str(name): row for row, name in enumerate(seen.ids)}
    rows = np.array([row_of.get(str(name), -1) for name in new.ids])
    labels = seen.labels.copy()
    told = (rows >= 0) & (new.labels != UNLABELLED)
    labels[rows[told]] = new.labels[told]
    fresh = new.take(rows < 0)
    return ImageSet(
        np.concatenate([seen.images, fresh.images]),
        np.concatenate([labels, fresh.labels]),
        np.concatenate([seen.ids, fresh.ids]),
    )


def thinned(seen: ImageSet, most: int | None, seed: int) -> ImageSet:
    """At most ``most`` images of each class, and of the unlabelled, chosen by id."""
    if most is None:
        return seen
    keep = np.zeros(len(seen), dtype=bool)
    for label in np.unique(seen.labels):
        members = np.flatnonzero(seen.labels == label)
        keep[members[keyed_order(seen.ids[members].tolist(), seed, "replay")[:most]]] = True
    return seen.take(keep)


def rows_for(old: NDArray[np.int64], labels: NDArray[np.int64]) -> NDArray[np.int64]:
    """``old`` rows of the heads, then one for each further class that ``labels`` [n] has."""
    return np.concatenate([old, np.setdiff1d(labels, [*old, UNLABELLED])]).astype(np.int64)


def as_rows(rows: NDArray[np.int64], labels: NDArray[np.int64], classes: int) -> NDArray[np.int64]:
    """``labels`` [n], class indices or -1, as rows of the heads or -1."""
    row_of = np.full(classes + 1, UNLABELLED, dtype=np.int64)  # the last entry is that of -1
    row_of[rows] = np.arange(len(rows))
    return row_of[labels]


def revived(learnt: Learnt, rows: int, config: RunConfig) -> Learner:
    """A learner that goes on from ``learnt`` with heads of ``rows`` outputs.

    Old outputs keep weights and optimizer state to the bit; new ones draw their weights from
    the seed and begin with Adam's moments at zero. ``learnt`` itself stays as it is.
    """
    modules = copy.deepcopy(learnt.modules)
    states = copy.deepcopy(learnt.optimizers)
    extra = rows - len(learnt.rows)
    if extra:
        for name in HEADS:
            modules[name] = _wider(modules[name], extra, derive(learnt.seed, name, rows))
        # Every parameter of this optimizer belongs to a head.
        for state in states["probe"]["state"].values():
            state.update({key: _padded(value, extra) for key, value in state.items()})
    modules = modules.to(pick_device(config.device)).train()
    optimizers = build_optimizers(config, modules)
    for name, optimizer in optimizers.items():
        load_optimizer(optimizer, states[name])
    return Learner(modules, optimizers, Position(0))


def _wider(head: nn.Module, extra: int, seed: int) -> nn.Linear:
    """A linear ``head`` with ``extra`` outputs more, drawn from ``seed``."""
    assert isinstance(head, nn.Linear)
    # torch's own way to a layer without drawing from the global generator; it has no types.
    wide: nn.Linear = nn.utils.skip_init(  # type: ignore[no-untyped-call]
        nn.Linear, head.in_features, head.out_features + extra
    )
    reset_module(wide, seed)
    with torch.no_grad():
        wide.weight[: head.out_features] = head.weight
        wide.bias[: head.out_features] = head.bias
    return wide


def _padded(value: Tensor, extra: int) -> Tensor:
    """``value`` [r, ...] with ``extra`` zero rows; a count of steps, which has no rows, as is."""
    return (
        value if value.dim() == 0 else torch.cat([value, value.new_zeros(extra, *value.shape[1:])])
    )


def on_host(learner: Learner) -> tuple[nn.ModuleDict, dict[str, dict[str, Any]]]:
    """The modules of ``learner``, in evaluation mode, and its optimizers' states, on the CPU."""
    optimizers = {name: optimizer.state_dict() for name, optimizer in learner.optimizers.items()}
    for state in (s for o in optimizers.values() for s in o["state"].values()):
        state.update({key: value.cpu() for key, value in state.items()})
    return learner.modules.cpu().eval(), optimizers
