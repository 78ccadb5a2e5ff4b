"""Where each image stands on the map."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float
from numpy.typing import NDArray

EDGE = 0.005  # of the images on each side that may lie at the border


def plane(points: Float[np.ndarray, "n 2"]) -> Float[np.ndarray, "n 2"]:
    """``points`` stretched over [0, 1] in both directions; a few far ones come to the border."""
    low, high = np.quantile(points, [EDGE, 1 - EDGE], axis=0)
    inside: NDArray[np.float32] = np.clip((points - low) / np.maximum(high - low, 1e-12), 0, 1)
    return inside.astype(np.float32)
