"""Using a trained run: encodings of images in memory, classes and probabilities for files."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from lll.config import RunConfig
from lll.data.decoding import decode_all
from lll.data.files import image_files
from lll.data.imageset import Skipped
from lll.errors import UserError
from lll.metrics.points import check_finite
from lll.nets import build_models, evaluating
from lll.runs.checkpoint import load_checkpoint
from lll.runs.record import Run, check_same_config
from lll.seeding import derive
from lll.views.geometric import unit_floats

BATCH = 2000  # images evaluated at once
CUSTOM_ENCODER = "custom"
"""What a run's configuration calls an encoder that the caller brought."""


@dataclass(frozen=True)
class Prediction:
    """The class that an image file most probably shows; probability in [0, 1]."""

    path: str
    class_name: str
    probability: float


def modules_of(config: RunConfig, classes: int, encoder: nn.Module | None = None) -> nn.ModuleDict:
    """The modules that ``config`` describes, with fresh weights, for ``classes`` classes.

    ``encoder`` stands in for the one that ``config.encoder`` names.
    """
    if encoder is None and config.encoder == CUSTOM_ENCODER:
        raise UserError("this run was trained with an encoder of your own: pass it as encoder=")
    return build_models(
        encoder=config.encoder if encoder is None else encoder,
        classes=classes,
        image_size=config.image_size,
        width=config.width,
        activation=config.activation,
        seed=derive(config.seed, "weights"),
    )


def fill(modules: nn.ModuleDict, weights: dict[str, Tensor], where: str) -> None:
    """Load a checkpoint's ``weights`` into ``modules``; UserError if they do not fit."""
    try:
        modules.load_state_dict(weights)
    except RuntimeError as error:
        reason = " ".join(str(error).split())[:200]
        raise UserError(f"{where}: the checkpoint does not fit this encoder: {reason}") from None


def load_modules(
    run: Run, *, encoder: nn.Module | None = None, checkpoint: str = "chosen"
) -> nn.ModuleDict:
    """The trained modules of ``run``, on the CPU and in evaluation mode.

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
    modules = modules_of(run.config, len(run.data.class_names), encoder)
    fill(modules, dict(saved.weights), str(run.path))
    return modules.eval()


class Images(Protocol):
    """Images uint8 [n, h, w, 3], given by slices on a device: a tensor, or what streams them."""

    def __len__(self) -> int:
        """n"""

    def __getitem__(self, rows: slice, /) -> Tensor:
        """The images of ``rows`` [m, h, w, 3], on the device."""


def forward(
    modules: nn.ModuleDict, images: Images, start: int = 0, stop: int | None = None
) -> Iterator[tuple[Tensor, Tensor]]:
    """Encodings [m, d] and logits [m, classes] of ``images``, ``start`` to ``stop``, by batches.

    The view at evaluation is the identity. Nothing is kept for a gradient.
    """
    stop = len(images) if stop is None else stop
    with evaluating(modules), torch.inference_mode():
        for at in range(start, stop, BATCH):
            part = images[at : min(at + BATCH, stop)].permute(0, 3, 1, 2)
            encodings = modules["encoder"](unit_floats(part))
            yield encodings, modules["probe"](encodings)


@dataclass(frozen=True)
class Encoded:
    """What a run makes of images: ``encodings`` [n, d] and ``probabilities`` [n, classes]."""

    encodings: NDArray[np.float32]
    probabilities: NDArray[np.float32]


def encode(modules: nn.ModuleDict, images: Images) -> Encoded:
    """Encodings and class probabilities of uint8 ``images`` [n, h, w, 3], n at least 1."""
    parts = [(e.cpu(), logits.softmax(dim=1).cpu()) for e, logits in forward(modules, images)]
    encodings, probabilities = zip(*parts, strict=True)
    return Encoded(torch.cat(encodings).numpy(), torch.cat(probabilities).numpy())


def predict_files(
    run: Run, paths: Sequence[str | Path], *, checkpoint: str = "chosen", strict: bool = False
) -> tuple[list[Prediction], tuple[Skipped, ...]]:
    """Predictions for image files, and for the images in folders, with those skipped.

    Raises UserError for a path that is not there, with ``strict`` for an image that cannot be
    read, and for a network that gives NaN.
    """
    files = [file for path in paths for file in image_files(path)]
    modules = load_modules(run, checkpoint=checkpoint)
    predictions: list[Prediction] = []
    skipped: tuple[Skipped, ...] = ()
    for start in range(0, len(files), BATCH):
        part = files[start : start + BATCH]
        images, kept, missed = decode_all(
            [name for name, _ in part],
            [read for _, read in part],
            run.config.image_size,
            strict=strict,
        )
        skipped += missed
        names = [name for (name, _), keep in zip(part, kept, strict=True) if keep]
        if not names:
            continue
        encoded = encode(modules, torch.from_numpy(images))
        check_finite(encoded.probabilities, f"{run.path}: probabilities")
        for name, probabilities in zip(names, encoded.probabilities, strict=True):
            best = int(np.argmax(probabilities))
            predictions.append(
                Prediction(name, run.data.class_names[best], float(probabilities[best]))
            )
    return predictions, skipped
