"""Accuracies of an epoch: on validation, for choosing, and on test, for the record."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from lll.learn.feeding import Inputs, Split, channels_first
from lll.learn.learner import Learner
from lll.learn.prepare import Prepared
from lll.metrics.accuracy import accuracy
from lll.ranks import Ranks

BATCH = 2000  # images evaluated at once


def scores(prepared: Prepared, learner: Learner, epoch: int) -> dict[str, Any]:
    """Accuracies in [0, 1] on validation and test, None where there is nothing to score."""
    represented = prepared.labels.at(epoch).classes
    classes = len(prepared.facts.class_names)

    def of(split: Split) -> Any:
        predicted = _predicted(learner, split.inputs, prepared.ranks)
        return accuracy(predicted, split.truth, represented, classes)

    validation, test = of(prepared.validation), of(prepared.test)
    return {
        "validation_accuracy": validation.all,
        "test_accuracy": test.all,
        "test_accuracy_represented": test.represented,
        "test_accuracy_novel": test.novel,
        "test_accuracy_per_class": test.per_class,
    }


def _predicted(learner: Learner, inputs: Inputs, ranks: Ranks) -> NDArray[np.int64]:
    """The most probable class of each input [n]; each rank looks at its share of them."""
    rows = ranks.share(len(inputs))
    parts = [
        learner.logits(channels_first(inputs[at : min(at + BATCH, rows.stop)])).argmax(dim=1)
        for at in range(rows.start, rows.stop, BATCH)
    ]
    mine = torch.cat([torch.empty(0, dtype=torch.int64, device=learner.device), *parts])
    shares = (ranks.share(len(inputs), rank) for rank in range(ranks.size))
    whole = ranks.gather(mine, tuple(share.stop - share.start for share in shares))
    return whole.cpu().numpy()
