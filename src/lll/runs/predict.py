"""Using a trained run: encodings of images in memory, classes and probabilities for files."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from lll.data.decoding import decode_all
from lll.data.files import image_files
from lll.data.imageset import Skipped, Unused
from lll.errors import UserError
from lll.learn.feeding import Inputs, channels_first
from lll.learn.front import front_of
from lll.learn.learner import Learner, build_learner
from lll.learn.scores import BATCH
from lll.metrics.points import check_finite
from lll.runs.checkpoint import load_checkpoint
from lll.runs.record import Run, check_same_config


@dataclass(frozen=True)
class Prediction:
    """The class that an image file most probably shows; probability in [0, 1]."""

    path: str
    class_name: str
    probability: float


def load_learner(
    run: Run,
    *,
    encoder: nn.Module | None = None,
    checkpoint: str = "chosen",
    device: torch.device | None = None,
) -> Learner:
    """The trained learner of ``run``, in evaluation mode, on the CPU unless told.

    ``checkpoint`` is ``chosen`` (best on validation; the latest where there is no
    validation), ``latest`` or a name. ``encoder`` is needed if the run was trained with one
    of the caller's own. Raises UserError without a checkpoint or with a corrupt one.
    """
    saved = load_checkpoint(run.path, checkpoint)
    if saved is None and checkpoint == "chosen":
        saved = load_checkpoint(run.path, "latest")
    if saved is None:
        raise UserError(f"{run.path}: has no checkpoint yet: train it first")
    check_same_config(run, saved.config)
    classes = len(run.data.class_names)
    device = device or torch.device("cpu")
    learner = build_learner(
        run.config,
        classes,
        device=device,
        encoder=encoder,
        front=front_of(run.config, device, encoder),
    )
    learner.fill(saved.weights, str(run.path))
    learner.eval()
    return learner


@dataclass(frozen=True)
class Encoded:
    """What a run makes of images: ``encodings`` [n, d] and ``probabilities`` [n, classes]."""

    encodings: NDArray[np.float32]
    probabilities: NDArray[np.float32]


def encode(learner: Learner, inputs: Inputs) -> Encoded:
    """Encodings and class probabilities of ``inputs``, n at least 1.

    Images uint8 [n, h, w, 3], or features [n, d], on the learner's device or streamed to it.
    The view at evaluation is the identity. Images pass the learner's frozen encoder first.
    """
    parts = []
    for at in range(0, len(inputs), BATCH):
        encodings, logits = learner.answer(channels_first(inputs[at : at + BATCH]))
        parts.append((encodings.cpu(), logits.softmax(dim=1).cpu()))
    encoded, told = (torch.cat(part).numpy() for part in zip(*parts, strict=True))
    return Encoded(encoded, told)


def predict_files(
    run: Run, paths: Sequence[str | Path], *, checkpoint: str = "chosen", strict: bool = False
) -> tuple[list[Prediction], tuple[Skipped, ...], tuple[Unused, ...]]:
    """Predictions for image files and those in folders; images skipped, and files not used.

    Raises UserError for a path that is not there, with ``strict`` for an image that cannot be
    read, and for a network that gives NaN.
    """
    found = [image_files(path) for path in paths]
    files = [file for images, _ in found for file in images]
    unused = tuple(group for _, groups in found for group in groups)
    learner = load_learner(run, checkpoint=checkpoint)
    predictions: list[Prediction] = []
    skipped: tuple[Skipped, ...] = ()
    for start in range(0, len(files), BATCH):
        part = files[start : start + BATCH]
        images, kept, missed = decode_all(
            [name for name, _ in part],
            [read for _, read in part],
            run.config.image_size,
            strict=strict,
            resize=run.config.resize,
        )
        skipped += missed
        names = [name for (name, _), keep in zip(part, kept, strict=True) if keep]
        if not names:
            continue
        encoded = encode(learner, torch.from_numpy(images))
        check_finite(encoded.probabilities, f"{run.path}: probabilities")
        for name, probabilities in zip(names, encoded.probabilities, strict=True):
            best = int(np.argmax(probabilities))
            predictions.append(
                Prediction(name, run.data.class_names[best], float(probabilities[best]))
            )
    return predictions, skipped, unused
