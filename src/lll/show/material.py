"""What pictures of a run are drawn from: its plan, its data, and what its network makes of it."""

from __future__ import annotations

from collections.abc import Callable
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import nn

from lll.data.imageset import DataSet
from lll.errors import UserError
from lll.learn.learner import Learner
from lll.learn.prepare import Prepared
from lll.metrics.accuracy import confusion as count_confusion
from lll.metrics.clusters import k_means
from lll.metrics.points import check_finite
from lll.runs.again import prepare_again
from lll.runs.predict import Encoded, encode, load_learner
from lll.runs.record import Run
from lll.runs.train import data_of
from lll.seeding import derive


class Material:
    """What the pictures of one run are drawn from; each part is made when first asked for.

    ``data`` and ``encoder`` as in `lll.train`, needed if they were given there; ``data`` may
    also be a function that loads it, called at most once and only if a picture needs it.
    """

    def __init__(
        self,
        run: Run,
        *,
        checkpoint: str = "latest",
        data: DataSet | Callable[[], DataSet] | None = None,
        encoder: nn.Module | None = None,
    ) -> None:
        self.run, self.checkpoint, self._data, self._encoder = run, checkpoint, data, encoder

    @cached_property
    def prepared(self) -> Prepared:
        """The run's plan and data; UserError if the data has changed."""
        given = self._data() if callable(self._data) else self._data
        return prepare_again(self.run, given or data_of(self.run.config))[0]

    @cached_property
    def learner(self) -> Learner:
        """The run's learner at the checkpoint."""
        return load_learner(
            self.run,
            encoder=self._encoder,
            checkpoint=self.checkpoint,
            device=self.prepared.device,
        )

    @cached_property
    def encoded(self) -> Encoded:
        """Encodings and probabilities of the test images; UserError without any, or with NaN."""
        test = self.prepared.test
        if not len(test.truth):
            raise UserError(f"{self.run.path}: its data has no test images to show: add some")
        encoded = encode(self.learner, test.inputs)
        check_finite(encoded.encodings, f"{self.run.path}: test images")
        return encoded

    @property
    def labels(self) -> NDArray[np.int64]:
        """True classes of the test images [n], -1 where there is no label."""
        return self.prepared.test.truth

    @property
    def predicted(self) -> NDArray[np.int64]:
        """Predicted classes of the test images [n]."""
        return np.asarray(self.encoded.probabilities.argmax(axis=1), dtype=np.int64)

    @cached_property
    def clusters(self) -> NDArray[np.int64]:
        """k-means clusters of the test images [n], as many as classes, called by classes.

        Each cluster bears the index of the class that it matches best (of the predicted
        classes where nothing is labelled), so that it is drawn in that class's colour.
        """
        from scipy.optimize import linear_sum_assignment

        classes, seed = len(self.class_names), self.run.config.seed
        found = k_means(self.encoded.encodings, classes, derive(seed, "evaluate", "kmeans"))
        like = self.labels if (self.labels >= 0).any() else self.predicted
        _, class_of = linear_sum_assignment(-count_confusion(like, found, classes))
        return np.asarray(class_of[found])

    @property
    def class_names(self) -> tuple[str, ...]:
        """Names of the classes, by index."""
        return self.run.data.class_names

    def metrics(self) -> tuple[dict[str, Any], ...]:
        """Metrics of the epochs done; UserError before the first."""
        if not self.run.metrics:
            raise UserError(
                f"{self.run.path}: no epoch is finished yet: go on with "
                f"`lll resume {self.run.path}`"
            )
        return self.run.metrics
