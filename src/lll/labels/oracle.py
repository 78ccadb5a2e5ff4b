"""Which labels are known at an epoch: a pure function of (ids, labels, plan, seed).

Nothing is remembered between epochs. A class reveals its labels in an order fixed by the
seed, and an epoch knows a prefix of it, so what is known once stays known.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from lll.errors import UserError
from lll.labels.events import UNLABELLED, Known
from lll.labels.names import class_name
from lll.labels.schedule import EpochPlan
from lll.seeding import keyed_order, numpy_generator
from lll.words import listed


def order_of_classes(
    order: str | Sequence[str], class_names: Sequence[str], seed: int
) -> tuple[int, ...]:
    """Class indices in the order in which they are introduced.

    ``order`` is ``data`` (the data set's own), ``shuffle`` (seeded), every class name with
    commas between, or a list of them; UserError for an unknown, missing or repeated name.
    """
    count = len(class_names)
    if order == "data":
        return tuple(range(count))
    if order == "shuffle":
        return tuple(numpy_generator(seed, "class-order").permutation(count).tolist())
    names = order.split(",") if isinstance(order, str) else list(order)
    index = {class_name(name): i for i, name in enumerate(class_names)}
    unknown = [name for name in names if class_name(name) not in index]
    if unknown:
        hint = ', as a list: ["a, b", "c"]' if any("," in name for name in class_names) else ""
        raise UserError(
            f"class_order: no class {unknown[0].strip()!r}: name {listed(class_names, 20)}{hint}"
        )
    chosen = tuple(index[class_name(name)] for name in names)
    if sorted(chosen) != list(range(count)):
        raise UserError(f"class_order: name each of {listed(class_names, 20)} once")
    return chosen


def reveal_order(ids: NDArray[np.str_], seed: int) -> NDArray[np.intp]:
    """The images ``ids`` [n] in the order in which those of a class are revealed."""
    return keyed_order(ids.tolist(), seed, "reveal")


@dataclass(frozen=True)
class Oracle:
    """Plays the person who labels: it knows the truth, and tells it as the schedule says.

    ``by_class[k]`` holds the positions of the images of the k-th class to be introduced, first
    revealed first; ``never`` those whose class nobody knows. ``pool`` is ``represented`` or
    ``all`` (spec, 2).
    """

    class_order: tuple[int, ...]
    by_class: tuple[NDArray[np.intp], ...]
    never: NDArray[np.intp]
    plan: tuple[EpochPlan, ...]
    pool: str

    @staticmethod
    def of(
        ids: NDArray[np.str_],
        truth: NDArray[np.int64],
        class_order: Sequence[int],
        plan: Sequence[EpochPlan],
        pool: str,
        seed: int,
        order: NDArray[np.intp] | None = None,
    ) -> Oracle:
        """Order the images ``ids`` [n] of each class of ``truth`` [n] by a hash of the id.

        ``order`` [n] is that of `reveal_order`, where the caller has it.
        """
        order = reveal_order(ids, seed) if order is None else order
        by_class = tuple(order[truth[order] == label] for label in class_order)
        never = np.flatnonzero(truth == UNLABELLED)
        return Oracle(tuple(class_order), by_class, never, tuple(plan), pool)

    def at(self, epoch: int) -> Known:
        """What is known at ``epoch``: a pure function of the ids, the truth, plan and seed.

        Images without any label have no class that could be represented or not, so they
        are in the unlabelled pool from the start under either policy.
        """
        plan = self.plan[epoch]
        labelled, targets, unlabelled = [], [], [self.never]
        for rank, (label, members) in enumerate(zip(self.class_order, self.by_class, strict=True)):
            if rank < plan.classes:
                count = _revealed(len(members), plan)
                labelled.append(members[:count])
                targets.append(np.full(count, label, dtype=np.int64))
                unlabelled.append(members[count:])
            elif self.pool == "all":
                unlabelled.append(members)
        known, classes = _joined(labelled), _joined(targets).astype(np.int64)
        order = np.argsort(known)
        return Known(
            labelled=known[order],
            targets=classes[order],
            unlabelled=np.sort(_joined(unlabelled)),
            classes=self.class_order[: plan.classes],
        )


def _revealed(size: int, plan: EpochPlan) -> int:
    """How many of a class's ``size`` labels are known: at least one if any is asked for."""
    if plan.labels <= 0:
        return 0
    wanted = plan.labels if plan.per_class else plan.labels * size
    return min(size, max(1, int(wanted + 1e-9)))


def plan_to_choose(plan: Sequence[EpochPlan], scale: float) -> tuple[EpochPlan, ...]:
    """The plan of the validation labels: as large a part of them is known as of the others.

    A count per class is multiplied by ``scale``, the number of validation images for each
    training image: with 0.25, 4 labels to train with come with 1 to choose with.
    """
    return tuple(
        replace(epoch, labels=epoch.labels * scale) if epoch.per_class else epoch for epoch in plan
    )


def _joined(parts: list[NDArray[np.intp]]) -> NDArray[np.intp]:
    return np.concatenate([np.empty(0, np.intp), *parts])
