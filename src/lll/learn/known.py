"""How sure a network is of images that it knows: what its unknown score is read against."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import torch

from lll.learn.feeding import Split, channels_first
from lll.learn.learner import Learner
from lll.learn.prepare import Prepared
from lll.methods.novel.quantiles import Quantiles
from lll.seeding import numpy_generator

MOST, LEAST = 1000, 20  # images to look at; of fewer set aside the quantiles say too little
BATCH = 500


def fit_quantiles(prepared: Prepared, learner: Learner, epoch: int) -> None:
    """Let ``learner`` remember how sure it is of images of the classes known at ``epoch``.

    Images set aside with a known label, as a network is surer of those that it learned from;
    where there are fewer than `LEAST`, these all the same.
    """
    part = learner.parts.get("unknown")
    if not isinstance(part, Quantiles):
        return
    known = prepared.labels.at(epoch)
    inputs = _known_rows(prepared, epoch).inputs
    shown = (inputs[at : at + BATCH] for at in range(0, len(inputs), BATCH))
    told = [learner.logits(channels_first(some)).softmax(dim=1) for some in shown]
    if told:
        part.fit(torch.cat(told), known.classes)


def _known_rows(prepared: Prepared, epoch: int) -> Split:
    known, aside = prepared.labels.at(epoch), prepared.validation
    at = np.flatnonzero(np.isin(aside.truth, known.classes))
    split, at = (aside, at) if len(at) >= LEAST else (prepared.train, known.labelled)
    if len(at) > MOST:
        draw = numpy_generator(prepared.config.seed, "known", epoch)
        at = np.sort(draw.choice(at, MOST, replace=False))
    return replace(split, inputs=split.inputs[at], truth=split.truth[at])
