"""Using a trained run: encodings of images in memory, classes and probabilities for files."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from lll.data.cache import cache_folder
from lll.data.decoding import Reader, decoded, readable
from lll.data.files import image_files
from lll.data.imageset import ImageSet, Skipped, Unused
from lll.data.paths import as_text
from lll.data.remote import copied, is_remote
from lll.errors import UserError
from lll.learn.features import Progress, features_of
from lll.learn.feeding import Inputs, Streamed, channels_first
from lll.learn.front import front_of
from lll.learn.learner import Learner, build_learner
from lll.learn.scores import BATCH
from lll.methods.novel.scorer import unknown_of
from lll.metrics.conformal import conformal_threshold, prediction_sets
from lll.metrics.points import check_finite
from lll.runs.checkpoint import load_checkpoint
from lll.runs.record import Run, check_same_config

ERROR = 0.05


@dataclass(frozen=True)
class Neighbour:
    """A labelled image near another one, and the cosine of their encodings."""

    path: str
    class_name: str
    cosine: float


Near = Callable[[NDArray[np.float32]], Sequence[tuple[Neighbour, ...]]]
"""The labelled images near to each of encodings [n, d], nearest first."""


@dataclass(frozen=True)
class Prediction:
    """The class that an image file most probably shows; probability in [0, 1].

    ``classes`` is the set that holds the true class but for a chosen error, likeliest first;
    None where too few labels were held out to say. ``near`` are labelled images like it.
    ``unknown`` in [0, 1] says how little it looks like any known class, ``unknown_from`` from
    where on that is to be called unknown; None for a run of an earlier version.
    """

    path: str
    class_name: str
    probability: float
    classes: tuple[str, ...] | None = None
    near: tuple[Neighbour, ...] = ()
    unknown: float = 0.0
    unknown_from: float | None = None


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
    classes = len(run.classes_at(saved.position))
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


def encode_images(
    learner: Learner,
    images: ImageSet,
    *,
    cache: Path | None = None,
    progress: Progress | None = None,
) -> Encoded:
    """What ``learner`` makes of ``images``; features of a frozen encoder are kept in ``cache``."""
    if learner.front is None:
        return encode(learner, Streamed(images.images, learner.device))
    found = features_of(images, learner.front, views=0, cache=cache, progress=progress)
    return encode(learner, torch.from_numpy(np.array(found.base)).to(learner.device))


def predict_files(
    run: Run,
    paths: Sequence[str | Path],
    *,
    checkpoint: str = "chosen",
    strict: bool = False,
    error: float = ERROR,
    near: Callable[[Learner], Near] | None = None,
    cache: Path | None = None,
    progress: Progress | None = None,
) -> tuple[list[Prediction], tuple[Skipped, ...], tuple[Unused, ...]]:
    """Predictions for image files and those in folders; images skipped, and files not used.

    Those elsewhere, as ``s3://bucket/new``, are copied into ``cache`` first (`lll.data.remote`).
    The class that an image shows is missing from its set with probability ``error`` at most.
    ``near`` makes of the learner what finds the labelled images near to encodings
    (`lll.runs.why`); ``progress`` is told how many images are done. Raises UserError for a path
    that is not there, where no image can be read, with ``strict`` for one that cannot, and for a
    network that gives NaN.
    """
    found = [_images_at(path, cache) for path in paths]
    files = [file for images, _ in found for file in images]
    unused = tuple(group for _, groups in found for group in groups)
    learner = load_learner(run, checkpoint=checkpoint)
    find = near(learner) if near else None
    threshold = conformal_threshold(held_out(learner), error)
    predictions: list[Prediction] = []
    skipped: list[Skipped] = []
    done = 0
    size = run.config.image_size
    for names, results in decoded(files, len(files), size, run.config.resize):
        kept, images, missed = readable(names, results, size, strict=strict)
        skipped += missed
        if kept:
            inputs = torch.from_numpy(images)
            encoded = encode(learner, inputs)
            unknown = unknown_scores(learner, encoded)
            limit = unknown_from(learner)
            predictions += (
                replace(one, unknown=float(score), unknown_from=limit)
                for one, score in zip(
                    _predicted(run, kept, encoded, threshold, find), unknown, strict=True
                )
            )
        done += len(names)
        if progress:
            progress(done, len(files))
    if skipped and not predictions:
        first, more = skipped[0], f" (and {len(skipped) - 1} more)" if len(skipped) > 1 else ""
        raise UserError(f"no image can be read: {first.path}{more}: {first.reason}")
    return predictions, tuple(skipped), unused


def _images_at(
    path: str | Path, cache: Path | None
) -> tuple[list[tuple[str, Reader]], tuple[Unused, ...]]:
    """`image_files`; those elsewhere keep the names that they have there."""
    if not is_remote(path):
        return image_files(path)
    copy = copied(str(path), cache_folder(cache))
    images, unused = image_files(copy)
    root = str(path).rstrip("/")
    return [(root + name.removeprefix(as_text(str(copy))), read) for name, read in images], unused


def _predicted(
    run: Run,
    names: Sequence[str],
    encoded: Encoded,
    threshold: float | None,
    find: Near | None,
) -> Iterator[Prediction]:
    probabilities = encoded.probabilities
    check_finite(probabilities, f"{run.path}: probabilities")
    classes = run.data.class_names
    sets = prediction_sets(probabilities, threshold)
    neighbours = find(encoded.encodings) if find else [()] * len(names)
    for name, row, chosen, near in zip(names, probabilities, sets, neighbours, strict=True):
        best = int(np.argmax(row))
        likeliest_first = [i for i in np.argsort(-row, kind="stable").tolist() if chosen[i]]
        yield Prediction(
            name,
            classes[best],
            float(row[best]),
            None if threshold is None else tuple(classes[i] for i in likeliest_first),
            near,
        )


def unknown_scores(learner: Learner, encoded: Encoded) -> NDArray[np.float32]:
    """How little each image [n] looks like a known class, in [0, 1].

    A probability or a rank, as the learner has fitted it (`Unknown`, `Quantiles`); of a run of
    an earlier version one minus the greatest probability.
    """
    unknown = unknown_of(learner.parts)
    if unknown is None:
        return np.asarray(1 - encoded.probabilities.max(axis=1), dtype=np.float32)
    with torch.inference_mode():
        given = (torch.from_numpy(part) for part in (encoded.encodings, encoded.probabilities))
        return np.asarray(unknown.of(*given).cpu(), dtype=np.float32)


def unknown_from(learner: Learner) -> float | None:
    """From which score on an image is to be called unknown; None where nothing says so."""
    unknown = unknown_of(learner.parts)
    return None if unknown is None else unknown.LIMIT


def held_out(learner: Learner) -> NDArray[np.float32]:
    """How badly each label that was held out fits its prediction [t]; none for other methods."""
    calibration = learner.parts.get("calibration")
    if calibration is None:
        return np.empty(0, np.float32)
    return np.asarray(calibration.get_buffer("nonconformity").cpu(), dtype=np.float32)
