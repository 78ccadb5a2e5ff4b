"""A data set and a configuration so small that a run takes a second."""

from typing import Any

import numpy as np
import torch

from lll import DataSet, ImageSet, RunConfig
from lll.learn.batches import BatchIndex, epoch_batches
from lll.learn.feeding import minibatches
from lll.learn.prepare import Prepared
from lll.methods import METHODS
from lll.methods.batch import Batch

STEPPING = [name for name, method in METHODS.items() if method.fit is None]
"""Methods that take steps on images; the others fit the features of a frozen encoder."""


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
        "precision": "float32",  # so that numbers are those of any CPU
    }
    return RunConfig(**(defaults | given))


def batch_index(prepared: Prepared, epoch: int) -> list[BatchIndex]:
    """Which images go into which minibatch of ``epoch``."""
    known, config = prepared.labels.at(epoch), prepared.config
    return epoch_batches(
        known.labelled,
        known.unlabelled,
        batch_size=config.batch_size,
        labelled_batch_size=config.labelled_batch_size,
        seed=config.seed,
        epoch=epoch,
    )


def batches_of(
    prepared: Prepared, epoch: int, index: list[BatchIndex], views: torch.Generator
) -> list[Batch]:
    """The minibatches ``index`` of ``epoch``, whose views are drawn from ``views``."""
    known, seen = prepared.labels.at(epoch), prepared.views(views)
    inputs, device, ranks = prepared.train.inputs, prepared.device, prepared.ranks
    return list(minibatches(inputs, known, index, seen, device, ranks))


def first_batch(prepared: Prepared, epoch: int) -> Batch:
    """The first minibatch of ``epoch``, with views from a generator of its own."""
    views = torch.Generator().manual_seed(0)
    return batches_of(prepared, epoch, batch_index(prepared, epoch)[:1], views)[0]
