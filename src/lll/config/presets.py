"""Defaults that are known by a name."""

from __future__ import annotations

from typing import Any

DATA_PRESETS: dict[str, dict[str, Any]] = {
    # 1,438 small training images: smaller batches give enough updates, validation accuracy
    # has settled after 14 epochs (a minute on two cores), and a mirrored, tinted or
    # half-hidden digit is another digit or none.
    "digits": {
        "epochs": 14,
        "batch_size": 128,
        "flip": 0.0,
        "strong_min_area": 0.6,
        "strong_brightness": 0.3,
        "strong_jitter": 0.1,
        "weak_min_area": 0.9,
        "weak_brightness": 0.1,
        "weak_jitter": 0.02,
    },
}
"""What a data set changes of the method's defaults."""

PHOTO_ENCODER = "efficientnet_lite2"
"""The encoder of methods on features, unless another is named."""
