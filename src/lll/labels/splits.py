"""Setting images aside by id: the validation share, and a test share where a source has none."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from lll.labels.events import UNLABELLED
from lll.seeding import keyed_order


def set_aside(
    ids: NDArray[np.str_],
    labels: NDArray[np.int64],
    share: float,
    seed: int,
    name: str,
) -> NDArray[np.bool_]:
    """Mask [n] of the images set aside: ``share`` of each class, chosen by id.

    Stratified: each class gives ``round(share * its size)`` images, and at least one of
    its images always stays behind, so no class is dropped whatever the sizes. Unlabelled
    images (-1) are never set aside. The choice is a pure function of (ids, labels, share,
    seed, name) and does not depend on the order of the rows.
    """
    aside = np.zeros(len(ids), dtype=bool)
    if not share:
        return aside
    for label in np.unique(labels[labels != UNLABELLED]):
        members = np.flatnonzero(labels == label)
        count = min(int(len(members) * share + 0.5), len(members) - 1)
        order = keyed_order(ids[members].tolist(), seed, name)
        aside[members[order[:count]]] = True
    return aside
