"""What every figure asks of what the network gives."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from lll.errors import UserError
from lll.words import count


def check_finite(points: NDArray[np.floating[Any]], whose: str) -> None:
    """UserError that counts the rows of ``points`` [n, d] with a NaN or an infinity in them."""
    bad = int((~np.isfinite(points)).any(axis=1).sum())
    if bad:
        raise UserError(
            f"{whose}: {bad} of {len(points)} hold NaN or infinity: "
            "choose an earlier checkpoint, or train again with a lower learning rate"
        )


def check_classes(labels: NDArray[np.int64], whose: str, least: int) -> None:
    """UserError unless ``labels`` [n] are of ``least`` classes or more."""
    found = len(np.unique(labels))
    if found < least:
        raise UserError(f"needs {whose} of {count(least, 'class', 'classes')} (found {found})")
