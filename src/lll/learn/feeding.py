"""Images on their way to the training device: all of them once, or each minibatch in turn."""

from __future__ import annotations

import logging
from collections.abc import Generator, Iterable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from lll.data.rows import Rows
from lll.labels.events import Known
from lll.learn.ahead import ahead
from lll.learn.batches import BatchIndex
from lll.methods.batch import Batch, Pool, Views
from lll.ranks import ALONE, Ranks

SHARE_FOR_IMAGES = 0.5  # of a device's free memory; the rest is for training
CHUNK_BYTES = 64 * 2**20  # of an upload

Index = int | slice | NDArray[np.intp]


class Streamed:
    """Images uint8 [n, h, w, 3] that stay on the host; those asked for come to ``device``."""

    def __init__(self, pixels: NDArray[np.uint8] | Rows, device: torch.device) -> None:
        self.pixels = pixels
        self.device = device

    def __len__(self) -> int:
        return len(self.pixels)

    def read(self, at: Index) -> Tensor:
        """The images ``at`` these positions, on the host, pinned for a fast way to a GPU."""
        # A copy: a caller's array may be read-only, which torch warns of.
        images = torch.from_numpy(np.array(self.pixels[at]))
        return images.pin_memory() if self.device.type == "cuda" else images

    def __getitem__(self, at: Index) -> Tensor:
        return self.read(at).to(self.device)


Inputs = Tensor | Streamed
"""Images uint8 [n, h, w, 3] or features [n, d]: on the training device, or streamed to it.

Either is indexed by a slice or an array of positions, and gives a tensor on the device.
"""


@dataclass(frozen=True)
class Split:
    """The inputs of a split, and the true class index of each [n], for metrics alone."""

    inputs: Inputs
    truth: NDArray[np.int64]


def place(pixels: NDArray[np.uint8] | Rows, device: torch.device, *, fits: bool) -> Inputs:
    """``pixels`` [n, h, w, 3] where training can have them: on ``device`` if they fit there.

    A CPU has them where they are: in memory, or in a file, which the system keeps in
    memory as long as there is room.
    """
    if device.type == "cpu" and isinstance(pixels, np.ndarray) and pixels.flags.writeable:
        return torch.from_numpy(pixels)
    if device.type == "cpu" or not fits:
        return Streamed(pixels, device)
    images = torch.empty(pixels.shape, dtype=torch.uint8, device=device)
    rows = max(1, CHUNK_BYTES // max(pixels[:1].nbytes, 1))
    for start in range(0, len(pixels), rows):
        chunk = np.array(pixels[start : start + rows])
        images[start : start + rows] = torch.from_numpy(chunk)
    return images


def fits_on(device: torch.device, image_bytes: int) -> bool:
    """Whether ``image_bytes`` of images leave ``device`` room to train; says so if not."""
    if device.type != "cuda":
        return True
    free, _ = torch.cuda.mem_get_info(device)
    if image_bytes <= SHARE_FOR_IMAGES * free:
        return True
    logging.getLogger("lll").warning(
        "%s has %.1f GiB free, too little for %.1f GiB of images and training: the images stay "
        "on the host and are sent a minibatch at a time",
        device,
        free / 2**30,
        image_bytes / 2**30,
    )
    return False


def minibatches(
    inputs: Inputs,
    known: Known,
    batches: Sequence[BatchIndex],
    views: Views,
    device: torch.device,
    ranks: Ranks = ALONE,
) -> Generator[Batch]:
    """``batches`` of ``inputs`` on ``device``, in order; of each, the rows of this rank.

    Labels are those that ``known`` holds, and no others.
    """
    mine = [
        BatchIndex(
            batch.labelled[ranks.share(len(batch.labelled))],
            batch.unlabelled[ranks.share(len(batch.unlabelled))],
        )
        for batch in batches
    ]
    # Sent once, so that nothing waits for the device between the minibatches.
    targets = [known.targets[np.searchsorted(known.labelled, batch.labelled)] for batch in mine]
    at = _sent([np.concatenate([b.labelled, b.unlabelled]) for b in mine], device)
    for whole, target, rows, shown in zip(
        batches, _sent(targets, device), at, _shown(inputs, at, mine, device), strict=True
    ):
        cut = [len(target), len(rows) - len(target)]
        counts = len(whole.labelled), len(whole.unlabelled)
        labelled, unlabelled = (
            Pool(part, part_rows, (count,), views, ranks)
            for part, part_rows, count in zip(
                torch.split(channels_first(shown), cut), torch.split(rows, cut), counts, strict=True
            )
        )
        yield Batch(labelled, target, unlabelled)


def channels_first(shown: Tensor) -> Tensor:
    """Images [n, h, w, 3] seen as [n, 3, h, w], channels-last without a copy; features as is."""
    return shown.permute(0, 3, 1, 2) if shown.dim() == 4 else shown


def _shown(
    inputs: Inputs, at: Sequence[Tensor], mine: Sequence[BatchIndex], device: torch.device
) -> Iterator[Tensor]:
    """The inputs of each minibatch on the device: labelled ones, then unlabelled."""
    if isinstance(inputs, Tensor):
        return (inputs[index] for index in at)
    rows = [np.concatenate([batch.labelled, batch.unlabelled]) for batch in mine]
    host = ahead(inputs.read, rows)
    return _uploaded(host, device) if device.type == "cuda" else host


def _sent(values: Sequence[NDArray[np.int64]], device: torch.device) -> tuple[Tensor, ...]:
    """``values`` on the device, in one transfer."""
    joined = np.concatenate([np.empty(0, np.int64), *values])
    return torch.split(torch.from_numpy(joined).to(device), [len(part) for part in values])


def _uploaded(parts: Iterable[Tensor], device: torch.device) -> Iterator[Tensor]:
    """Pinned ``parts`` on a GPU, each sent while the one before it is in use."""
    side = torch.cuda.Stream(device)  # type: ignore[no-untyped-call]

    def send(part: Tensor) -> tuple[Tensor, torch.cuda.Event]:
        with torch.cuda.stream(side):
            return part.to(device, non_blocking=True), side.record_event()

    def ready(sent: tuple[Tensor, torch.cuda.Event]) -> Tensor:
        images, event = sent
        current = torch.cuda.current_stream(device)
        current.wait_event(event)
        images.record_stream(current)  # its memory is not reused before ``current`` is done
        return images

    before = None
    for part in parts:
        now = send(part)
        if before is not None:
            yield ready(before)
        before = now
    if before is not None:
        yield ready(before)
