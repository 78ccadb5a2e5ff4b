"""`lll discover` alone at every stage of the gradual benchmark, on features of a frozen encoder.

Nothing is trained: known and new images are grouped anew at each stage, among the labelled images
and `MOST` others. The number of classes without labels is given, or estimated.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import torch
from benchmarks.accuracy.gradual_predictions import Predictions
from numpy.typing import NDArray

from lll.learn.prepare import Prepared
from lll.methods.features.space import fit_space
from lll.methods.novel.groups import group
from lll.methods.novel.number import estimate_number, known_share_of

GROUPING = ("discover", "discover-auto")
FEATURES_OF = dict.fromkeys(GROUPING, "logistic")  # whose settings, those of a frozen encoder
MOST = 10_000  # images without a label to group


def grouped(
    prepared: Prepared, ids: NDArray[np.str_], part: tuple[int, int], stages: int, method: str
) -> Iterator[Predictions]:
    """The group of every image to score, the images ``ids`` [n], stage by stage.

    ``part`` is the order and the draw; ``method`` is one of `GROUPING`.
    """
    features, names, front = prepared.train.inputs, prepared.facts.class_names, prepared.front
    assert isinstance(features, torch.Tensor) and front is not None
    rng = np.random.default_rng(part)
    some = np.sort(rng.permutation(len(features))[:MOST])
    space = fit_space(features[some, : front.last], prepared.seen(some)[..., : front.last])
    scored = space.of(prepared.test.inputs[:, : front.last]).points
    for stage in range(stages):
        known = prepared.labels.at(stage)
        rows = np.union1d(some, known.labelled)
        classes, at = np.unique(known.targets, return_inverse=True)
        targets = np.full(len(features), -1)
        targets[known.labelled] = at
        told, points = (
            torch.from_numpy(targets[rows]),
            space.of(features[rows, : front.last]).points,
        )
        new, count = len(names) - len(classes), len(classes)
        if method == "discover-auto":
            new = estimate_number(points, told, count, stage).new
        share = known_share_of(points, told, count, new, stage)
        of, _ = group(points, told, count, new, share, stage).placed(scored)
        answers = np.array([*(names[c] for c in classes), *(f"new-{i}" for i in range(new))])
        nobody = np.full(len(ids), np.nan)
        yield Predictions(*part, stage, ids, answers[of.numpy()], nobody, nobody)
