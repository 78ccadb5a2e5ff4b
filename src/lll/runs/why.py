"""Why a run predicts what it predicts: the labelled images that look most alike to it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from lll.data.assemble import joined
from lll.data.imageset import ImageSet
from lll.data.rows import Rows
from lll.errors import UserError
from lll.learn.features import Progress
from lll.learn.learner import Learner
from lll.metrics.nearest import nearest
from lll.runs.predict import Neighbour, encode_images
from lll.runs.record import Run
from lll.runs.train import data_of

COUNT = 5
"""Neighbours that are shown of each image."""


@dataclass(frozen=True)
class Labelled:
    """The images that a run was trained with a label of, and their ``encodings`` [m, d]."""

    paths: list[str]
    class_names: list[str]
    encodings: NDArray[np.float32]

    def near(self, encodings: NDArray[np.float32]) -> list[tuple[Neighbour, ...]]:
        """For each of ``encodings`` [n, d] the ``COUNT`` nearest labelled images, nearest first."""
        at, cosines = nearest(encodings, self.encodings, COUNT)
        return [
            tuple(
                Neighbour(self.paths[i], self.class_names[i], float(cosine))
                for i, cosine in zip(row, found, strict=True)
            )
            for row, found in zip(at.tolist(), cosines, strict=True)
        ]


def labelled_of(
    run: Run, learner: Learner, *, cache: Path | None = None, progress: Progress | None = None
) -> Labelled:
    """The labelled training images of ``run``, encoded by its ``learner``.

    The data that the run was trained on is read again; features are found in ``cache`` or kept
    there. Raises UserError where none of the images is there.
    """
    told = {e.id: e.label for e in run.label_events() if e.origin != "validation"}
    parts = data_of(run.config, cache=cache).parts.values()
    ids = np.concatenate([part.ids for part in parts])
    at = np.flatnonzero(np.isin(ids, list(told)))
    if not len(at):
        raise UserError(
            f"{run.config.data}: none of the {len(told)} labelled images of {run.path} is there:"
            " put them back, or predict without --why"
        )
    labels = np.array([told[name] for name in ids[at].tolist()], dtype=np.int64)
    images = ImageSet(Rows.of(joined([part.images for part in parts])).take(at), labels, ids[at])
    encoded = encode_images(learner, images, cache=cache, progress=progress)
    folder = Path(run.config.data)
    return Labelled(
        [str(folder / name) if folder.is_dir() else name for name in images.ids.tolist()],
        [run.data.class_names[label] for label in labels],
        encoded.encodings,
    )
