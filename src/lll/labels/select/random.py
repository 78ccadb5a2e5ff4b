"""``random``: images drawn uniformly; what every other strategy must beat."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from lll.labels.select.candidates import Candidates


def random(candidates: Candidates, count: int, generator: np.random.Generator) -> NDArray[np.intp]:
    """``count`` open images, all equally likely."""
    free = candidates.open
    return generator.choice(free, min(count, len(free)), replace=False)
