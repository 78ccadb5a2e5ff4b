"""Bulk prediction: a function of batches, for `datasets.map`, Ray Data, Spark and their like."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from lll.data.decoding import Result, UnreadableError, attempt, calm, pixels_of, read_one
from lll.data.walk import read_file
from lll.errors import UserError
from lll.learn.device import pick_device
from lll.learn.learner import Learner
from lll.metrics.points import check_finite
from lll.runs.predict import encode, load_learner
from lll.runs.record import Run, load_run


class Predictor:
    """Classifies the images in a column of a batch, with the run in the folder ``run``.

    A batch is a dictionary of columns of n values each. Those of ``column`` are paths, bytes of
    image files, ``{"bytes": …, "path": …}`` as Hugging Face has them, Pillow images, or arrays
    uint8 [h, w] or [h, w, 3]. The answer has two columns: ``prediction``, a class name, and
    ``probability``; both are None for what is no image that can be read. It also has the columns
    named in ``keep``, unchanged. ``checkpoint`` as in `lll.runs.predict.load_learner`;
    ``device`` as in the configuration of a run.

    What is pickled is where the run is; each process loads the network when it is first called.
    Raises UserError at once for a folder that is no run, and for a column that is not there.
    """

    def __init__(
        self,
        run: str | Path | Run,
        *,
        column: str = "image",
        keep: Sequence[str] = (),
        checkpoint: str = "chosen",
        device: str = "cpu",
    ) -> None:
        self.run = run if isinstance(run, Run) else load_run(run)
        self.column, self.keep = column, tuple(keep)
        self.checkpoint, self.device = checkpoint, device
        self._learner: Learner | None = None

    def __getstate__(self) -> dict[str, Any]:
        return vars(self) | {"_learner": None}

    def __call__(self, batch: Mapping[str, Any]) -> dict[str, Any]:
        """The batch's ``prediction`` and ``probability``, and the columns to keep."""
        for name in (self.column, *self.keep):
            if name not in batch:
                raise UserError(f"no column {name!r} in the batch: it has {', '.join(batch)}")
        with calm():
            found = [self._pixels(cell) for cell in batch[self.column]]
        images = [pixels for pixels in found if not isinstance(pixels, UnreadableError)]
        answers = iter(self._answers(np.stack(images)) if images else ())
        rows = [
            (None, None) if isinstance(pixels, UnreadableError) else next(answers)
            for pixels in found
        ]
        kept = {name: batch[name] for name in self.keep}
        named = [name for name, _ in rows], [probability for _, probability in rows]
        return kept | dict(zip(("prediction", "probability"), named, strict=True))

    def _answers(self, images: NDArray[np.uint8]) -> list[tuple[str, float]]:
        """Class name and probability of each of ``images`` [n, s, s, 3]."""
        if self._learner is None:
            device = pick_device(self.device)
            self._learner = load_learner(self.run, checkpoint=self.checkpoint, device=device)
        told = encode(self._learner, torch.from_numpy(images)).probabilities
        check_finite(told, f"{self.run.path}: probabilities")
        names = self.run.data.class_names
        return [(names[row.argmax()], float(row.max())) for row in told]

    def _pixels(self, cell: Any) -> Result:
        """What one value of the column shows, at the run's size."""
        size, resize = self.run.config.image_size, self.run.config.resize
        if isinstance(cell, Mapping):
            cell = cell.get("bytes") or cell.get("path")
        if isinstance(cell, str | Path):
            cell = read_one(partial(read_file, str(cell)))
        if isinstance(cell, bytearray):  # so Spark hands over what is binary in a row
            cell = bytes(cell)
        if cell is None:
            return UnreadableError("there is no image")
        if isinstance(cell, bytes | UnreadableError):
            return attempt(cell, size, resize)
        return pixels_of(_image(cell, self.column), size, resize)


def _image(cell: Any, column: str) -> Any:
    """A Pillow image, also of an array uint8 [h, w], [h, w, 1] or [h, w, 3]."""
    from PIL import Image

    if isinstance(cell, Image.Image):
        return cell.copy()  # it may be turned
    array = np.asarray(cell)
    if (
        array.dtype != np.uint8
        or array.ndim not in (2, 3)
        or array.shape[2:] not in ((), (1,), (3,))
    ):
        raise UserError(
            f"column {column!r} holds {type(cell).__name__} of {array.dtype}: give paths, bytes "
            "of image files, Pillow images, or uint8 [h, w, 3]"
        )
    return Image.fromarray(array.squeeze(2) if array.shape[2:] == (1,) else array)
