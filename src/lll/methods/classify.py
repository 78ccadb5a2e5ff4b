"""The step that classifies weak views of the labelled images with the linear probe."""

from __future__ import annotations

import torch.nn.functional as F
from torch import nn

from lll.methods.batch import Batch
from lll.methods.method import Losses, MethodOptions, Nets, Shape, Step
from lll.nets import LinearProbe


def probe(shape: Shape, options: MethodOptions) -> dict[str, nn.Module]:
    """The linear probe."""
    return {"probe": LinearProbe(shape.features, shape.classes)}


def classify(nets: Nets, batch: Batch, options: MethodOptions) -> Losses | None:
    """Softmax cross-entropy of the probe's logits; None if the batch has no labelled image."""
    if not batch.labelled.total:
        return None
    logits = nets["probe"](nets["encoder"](batch.labelled.weak()))
    loss = batch.labelled.mean(F.cross_entropy(logits, batch.targets, reduction="none"))
    right = batch.labelled.mean((logits.detach().argmax(dim=1) == batch.targets).float())
    return Losses(loss[None], {"train_accuracy": right})


CLASSIFY = Step("classify", classify, ("encoder", "probe"))
PROBE = Step("classify", classify, ("probe",))
