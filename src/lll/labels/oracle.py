"""Which labels are known at an epoch: a pure function of (ids, labels, plan, seed).

Nothing is remembered between epochs. A class reveals its labels in an order fixed by the
seed, and an epoch knows a prefix of it, so what is known once stays known.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from lll.errors import UserError
from lll.labels.events import UNLABELLED
from lll.labels.names import class_name
from lll.labels.schedule import EpochPlan
from lll.seeding import keyed_order, numpy_generator
from lll.words import listed


@dataclass(frozen=True)
class Known:
    """The two pools of an epoch, as positions in the training images.

    ``labelled`` [l] have a known label, ``unlabelled`` [u] have none; both are sorted.
    ``classes`` are the class indices represented so far, in the order they came.
    """

    labelled: NDArray[np.intp]
    unlabelled: NDArray[np.intp]
    classes: tuple[int, ...]


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


@dataclass(frozen=True)
class Reveal:
    """The fixed order in which each class gives up its labels.

    ``by_class[k]`` holds the positions of the labelled images of the k-th class to be
    introduced, first revealed first; ``never`` those that have no label at all.
    """

    class_order: tuple[int, ...]
    by_class: tuple[NDArray[np.intp], ...]
    never: NDArray[np.intp]

    @staticmethod
    def of(
        ids: NDArray[np.str_],
        labels: NDArray[np.int64],
        class_order: Sequence[int],
        seed: int,
    ) -> Reveal:
        """Order the labels of ``ids`` [n] with ``labels`` [n] by a seeded hash of the id."""
        by_class = []
        for label in class_order:
            members = np.flatnonzero(labels == label)
            by_class.append(members[keyed_order(ids[members].tolist(), seed, "reveal")])
        return Reveal(tuple(class_order), tuple(by_class), np.flatnonzero(labels == UNLABELLED))

    def at(self, plan: EpochPlan, pool: str) -> Known:
        """What is known under ``plan``; ``pool`` is ``represented`` or ``all`` (spec, 2).

        Images without any label have no class that could be represented or not, so they
        are in the unlabelled pool from the start under either policy.
        """
        labelled, unlabelled = [], [self.never]
        for rank, members in enumerate(self.by_class):
            if rank < plan.classes:
                count = _revealed(len(members), plan)
                labelled.append(members[:count])
                unlabelled.append(members[count:])
            elif pool == "all":
                unlabelled.append(members)
        return Known(
            labelled=_sorted_join(labelled),
            unlabelled=_sorted_join(unlabelled),
            classes=self.class_order[: plan.classes],
        )


def _revealed(size: int, plan: EpochPlan) -> int:
    """How many of a class's ``size`` labels are known: at least one if any is asked for."""
    if plan.labels <= 0:
        return 0
    wanted = plan.labels if plan.per_class else plan.labels * size
    return min(size, max(1, int(wanted + 1e-9)))


def _sorted_join(parts: list[NDArray[np.intp]]) -> NDArray[np.intp]:
    return np.sort(np.concatenate([np.empty(0, np.intp), *parts]))
