"""A data set and a configuration so small that a run takes a second."""

from typing import Any

import numpy as np

from lll import DataSet, ImageSet, RunConfig


def tiny_data(classes: int = 4, each: int = 30, test_each: int = 10, seed: int = 0) -> DataSet:
    """Each class is one colour, with noise: learnable in a few steps."""
    rng = np.random.default_rng(seed)
    colours = rng.integers(40, 215, (classes, 3))

    def split(name: str, count: int) -> ImageSet:
        labels = np.repeat(np.arange(classes, dtype=np.int64), count)
        noise = rng.normal(0, 20, (len(labels), 32, 32, 3))
        images = (colours[labels][:, None, None] + noise).clip(0, 255).astype(np.uint8)
        ids = np.array([f"{name}/{i:04d}" for i in range(len(labels))])
        return ImageSet(images, labels, ids)

    names = tuple("abcdefghij"[:classes])
    return DataSet("tiny", names, split("train", each), split("test", test_each))


def tiny_config(**given: Any) -> RunConfig:
    defaults = {
        "data": "tiny",
        "method": "gradual",
        "classes": "2:4",
        "labels": "0.2:0.8",
        "epochs": 3,
        "batch_size": 24,
        "width": 8,
        "device": "cpu",
    }
    return RunConfig(**(defaults | given))
