"""What FixMatch, FreeMatch and SoftMatch share: a guess on a weak view teaches a strong one.

Each learns from two losses in one update,

    mean over labelled of H(y, p(weak)) + unlabelled_weight * mean over unlabelled of
    w * H(guess, p(strong))

where the guess is the likeliest class of the weak view and w, a method's own, says how far to
trust it. A running average of encoder and probe answers at prediction.

Where we depart from the papers' code: guesses and how sure they are come from aligned
probabilities (distribution alignment, Berthelot et al. 2020, arXiv:1911.09785, section 3.1), half
of the way unless told, because with 4 labels per class they else ended in few classes. The prior
is the share of each class among the labels seen, not assumed equal. The weak views of unlabelled
images pass the encoder on their own and without a gradient, which saves a third of the work.
Labelled images are not among the unlabelled ones as well.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from pydantic import Field
from torch import Tensor, nn

from lll.methods.batch import Batch
from lll.methods.classify import probe
from lll.methods.method import Losses, MethodOptions, Nets, Shape, Step
from lll.nets.average import Average, kept

MU = 7  # unlabelled images for each labelled one, in all three papers
ROUNDING = 1e-6


class ConsistencyOptions(MethodOptions):
    """Options that the three methods share."""

    unlabelled_weight: float = Field(1.0, ge=0, description="weight of the unlabelled loss")
    average: float = Field(
        0.999, ge=0, lt=1, description="decay of the running average of weights that answers"
    )
    momentum: float = Field(
        0.999, ge=0, lt=1, description="share that running figures keep of themselves at a step"
    )
    alignment: float = Field(
        0.5, ge=0, le=1, description="how far guesses are brought to the shares of labelled images"
    )


def parts(shape: Shape, options: ConsistencyOptions) -> dict[str, nn.Module]:
    """A linear probe, and the average of encoder and probe."""
    return {
        **probe(shape, options),
        "teacher": Average(of=("encoder", "probe"), decay=options.average),
        "alignment": Alignment(shape.classes),
    }


def answers(nets: Nets, inputs: Tensor) -> tuple[Tensor, Tensor]:
    """Encodings [n, d] and logits [n, c] of ``inputs``, by the teacher."""
    teacher = nets["teacher"]
    encodings = teacher.encoder(inputs)
    return encodings, teacher.probe(encodings)


def defaults(given: Mapping[str, Any]) -> dict[str, Any]:
    """Seven unlabelled images for each labelled one, RandAugment, and one rate for all parts."""
    size = str(given.get("batch_size", 512))
    labelled = max(1, int(size) // (MU + 1)) if size.isdecimal() else 64
    return {
        "batch_size": 512,
        "labelled_batch_size": labelled,
        "strong_view": "randaugment",
        "probe_rate": 1e-3,
    }


@dataclass(frozen=True)
class Seen:
    """What the networks make of a minibatch; rows are those of this rank.

    Logits of weak views of its labelled images [l, c], of strong ones of the unlabelled
    images [u, c]; the aligned probabilities of their weak views, which carry no gradient.
    """

    labelled: Float[Tensor, "l c"]
    strong: Float[Tensor, "u c"]
    aligned: Float[Tensor, "u c"]


def look(nets: Nets, batch: Batch, options: ConsistencyOptions) -> Seen:
    """Weak views of both pools and strong ones of the unlabelled one, through the probe."""
    with torch.no_grad():
        weak = nets["probe"](nets["encoder"](batch.unlabelled.weak())).softmax(dim=1)
        nets["alignment"].update(batch, batch.unlabelled.gather(weak), options.momentum)
        aligned = nets["alignment"].align(weak, options.alignment)
    views = torch.cat([batch.labelled.weak(), batch.unlabelled.strong()])
    logits = nets["probe"](nets["encoder"](views))
    labelled, strong = torch.split(logits, [len(batch.labelled), len(batch.unlabelled)])
    return Seen(labelled, strong, aligned)


def losses(
    batch: Batch, seen: Seen, weights: Float[Tensor, " u"], options: ConsistencyOptions
) -> Losses:
    """Both losses as one, with the ``weights`` of this rank's unlabelled rows.

    The figures are the two, the accuracy on the labelled views, and ``trusted``, the mean weight.
    """
    labelled = batch.labelled.mean(F.cross_entropy(seen.labelled, batch.targets, reduction="none"))
    guesses = F.cross_entropy(seen.strong, seen.aligned.argmax(dim=1), reduction="none")
    unlabelled = batch.unlabelled.mean(weights * guesses)
    right = (seen.labelled.detach().argmax(dim=1) == batch.targets).float()
    return Losses(
        (labelled + options.unlabelled_weight * unlabelled)[None],
        {
            "labelled_loss": labelled.detach(),
            "unlabelled_loss": unlabelled.detach(),
            "train_accuracy": batch.labelled.mean(right),
            "trusted": batch.unlabelled.mean(weights),
        },
    )


def average(nets: Nets, batch: Batch, options: ConsistencyOptions) -> None:
    """Move the teacher after an update of the networks that it averages."""
    nets["teacher"].update(nets)


AVERAGE = Step("average", average)


class Running(nn.Module):
    """Running means over minibatches: ``value`` [k], and how often it was updated.

    Our departure from the papers' code, whose means keep a fixed share from the first step on:
    see `lll.nets.average.kept`.
    """

    def __init__(self, value: Float[Tensor, " k"]) -> None:
        super().__init__()
        self.value: Tensor
        self.updates: Tensor
        self.register_buffer("value", value)
        self.register_buffer("updates", torch.zeros(()))

    def update(self, now: Float[Tensor, " k"], momentum: float) -> None:
        """Move towards ``now``."""
        self.value.lerp_(now, 1 - kept(self.updates, momentum).to(now.dtype))
        self.updates += 1


class Shares(Running):
    """A running mean of distributions over classes [c], uniform to begin with."""

    def __init__(self, classes: int) -> None:
        super().__init__(torch.full((classes,), 1 / classes))

    def grow(self, classes: int) -> None:
        """Have ``classes`` classes: a new one gets an equal share, the others keep their ratios."""
        gained = classes - len(self.value)
        if gained > 0:
            fresh = self.value.new_full((gained,), 1 / classes)
            self.value = torch.cat([self.value * len(self.value) / classes, fresh])


class Alignment(nn.Module):
    """Distribution alignment: probabilities brought towards the shares of labelled images.

    ``predicted`` [c] is the running mean of the probabilities on unlabelled images, ``labelled``
    [c] that of the classes of labelled images.
    """

    def __init__(self, classes: int) -> None:
        super().__init__()
        self.predicted, self.labelled = Shares(classes), Shares(classes)

    def update(self, batch: Batch, weak: Float[Tensor, "n c"], momentum: float) -> None:
        """Take in ``weak``, the probabilities of all ranks, and the labels of ``batch``."""
        if batch.labelled.total:
            self.labelled.update(one_hot(batch.all_targets, weak).mean(dim=0), momentum)
        if len(weak):
            self.predicted.update(weak.mean(dim=0), momentum)

    def align(self, p: Float[Tensor, "n c"], strength: float) -> Float[Tensor, "n c"]:
        """``p * (labelled / predicted) ** strength``, each row made to add up to 1."""
        ratio = (self.labelled.value + ROUNDING) / (self.predicted.value + ROUNDING)
        scaled = p * ratio**strength
        return scaled / scaled.sum(dim=1, keepdim=True)

    def grow(self, classes: int) -> None:
        """Have ``classes`` classes."""
        self.predicted.grow(classes)
        self.labelled.grow(classes)


def one_hot(chosen: Int[Tensor, " n"], like: Float[Tensor, "m c"]) -> Float[Tensor, "n c"]:
    """One row for each of the ``chosen`` classes, 1 there and 0 elsewhere, of the type of ``like``.

    torch's own asks the device for the largest class, and waits.
    """
    return (chosen[:, None] == torch.arange(like.shape[1], device=like.device)).to(like.dtype)
