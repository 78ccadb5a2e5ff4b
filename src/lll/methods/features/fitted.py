"""What a learner on features leaves in its parts: all that answers for any image."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from lll.methods.features.kernel import Kernel, spoken
from lll.methods.features.problem import Problem, pose
from lll.methods.features.softmax import with_ones
from lll.methods.features.space import Transform
from lll.methods.method import Method, MethodOptions, Nets, Rows, Shape
from lll.methods.novel.scorer import Unknown
from lll.nets import LinearProbe

NEVER = -30.0
"""The logit of a class that has no label yet, beside those of the others."""


@dataclass(frozen=True)
class Centres:
    """Labelled ``points``, and the ``weights`` with which each speaks for each class."""

    points: Float[Tensor, "m k"]
    weights: Float[Tensor, "m c"]


@dataclass(frozen=True)
class Answer:
    """A classifier of points, and what it says of labelled rows that it did not see.

    It is linear, with ``weights``, and where there are ``centres`` their likeness is added.
    """

    weights: Float[Tensor, "k1 c"]
    held: Float[Tensor, "t c"]
    truth: Int[Tensor, " t"]
    prior: Float[Tensor, " c"]
    notes: Mapping[str, Any] = field(default_factory=dict)
    centres: Centres | None = None

    def logits(self, points: Float[Tensor, "n k"]) -> Float[Tensor, "n c"]:
        """The scores of ``points``, not calibrated."""
        return scores(points, self.weights, self.centres)


def scores(
    points: Float[Tensor, "n k"], weights: Float[Tensor, "k1 c"], centres: Centres | None
) -> Float[Tensor, "n c"]:
    """Linear scores of ``points``, and what the ``centres`` add, if there are any."""
    linear = with_ones(points) @ weights
    if centres is None:
        return linear
    return linear + spoken(points, centres.points, centres.weights)


class Calibration(nn.Module):
    """What the labelled rows say of how sure the answers are; fitted with the classifier.

    ``prior`` [classes] is the estimated share of each class among the images.
    ``nonconformity`` [t] holds, of each labelled row while it was held out, one minus the
    probability of its class (empty: none was held out), for `lll.metrics.conformal`.
    """

    prior: Tensor
    nonconformity: Tensor

    def __init__(self, classes: int) -> None:
        super().__init__()
        self.register_buffer("prior", torch.zeros(classes))
        self.register_buffer("nonconformity", torch.zeros(0))

    def grow(self, classes: int) -> None:
        """Have ``classes`` classes; the new ones have no share yet."""
        more = self.prior.new_zeros(max(classes - len(self.prior), 0))
        self.prior = torch.cat([self.prior, more])

    def _load_from_state_dict(self, state: Mapping[str, Tensor], prefix: str, *rest: Any) -> None:
        # As many scores as were saved, which is not known before.
        scores = state.get(f"{prefix}nonconformity")
        if scores is not None:
            self.nonconformity = self.nonconformity.new_empty(scores.shape)
        super()._load_from_state_dict(state, prefix, *rest)


def method_of(summary: str, answer: Callable[[Problem], Answer]) -> Method:
    """The method on features whose classifier is what ``answer`` says of a problem."""

    def fit(nets: Nets, rows: Rows, options: MethodOptions) -> Mapping[str, Any]:
        problem = pose(rows)
        return fill(nets, problem, problem.answered(answer))

    return Method(
        summary=summary,
        options=MethodOptions,
        parts=parts,
        fit=fit,
        answers=answers,
        defaults=lambda given: {"epochs": 1, "validation_share": 0.0},
    )


def parts(shape: Shape, options: MethodOptions) -> dict[str, nn.Module]:
    """The transform of features to points, the classifier on points, and its calibration."""
    transform = Transform(shape.features, shape.last)
    return {
        "transform": transform,
        "probe": LinearProbe(transform.width, shape.classes),
        "kernel": Kernel(transform.width, shape.classes),
        "calibration": Calibration(shape.classes),
        "unknown": Unknown(),
    }


def answers(nets: Nets, inputs: Tensor) -> tuple[Tensor, Tensor]:
    """The encodings of features, as `Transform` makes them, and calibrated logits."""
    encodings, kernel = nets["transform"](inputs), nets["kernel"]
    points = nets["transform"].points_of(encodings)
    logits = nets["probe"](points)
    return encodings, logits + kernel(points) if len(kernel.centres) else logits


def fill(nets: Nets, problem: Problem, answer: Answer) -> Mapping[str, Any]:
    """Put ``answer`` into the parts, calibrated on the rows that were held out, if any.

    Gives what to record: the ``temperature``, the estimated ``prior`` of all images and the
    ``known_share`` of the unlabelled ones, how many labels it was ``calibrated_on``, and the
    answer's own notes.
    """
    scale = best_scale(answer.held, answer.truth)
    nets["transform"].load_state_dict(problem.space.transform.state_dict())
    probe, calibration, present = nets["probe"], nets["calibration"], problem.present
    probe.weight.zero_()
    probe.bias.fill_(NEVER)
    weights = (scale * answer.weights).to(probe.weight)
    probe.weight[present], probe.bias[present] = weights[:-1].T, weights[-1]
    centres = _kernel_of(answer, scale, present, len(calibration.prior))
    nets["kernel"].load_state_dict(centres)
    calibration.prior.zero_()
    calibration.prior[present] = answer.prior.to(calibration.prior)
    chances = torch.softmax(scale * answer.held, dim=1)
    right = chances.gather(1, answer.truth[:, None])[:, 0]
    calibration.nonconformity = (1 - right).to(calibration.prior)
    fresh, share = problem.answered(_unknown)
    nets["unknown"].load_state_dict(fresh.state_dict())
    return {
        "temperature": 1 / scale,
        "known_share": share,
        "calibrated_on": len(answer.truth),
        "prior": calibration.prior.tolist(),
        **answer.notes,
    }


def _kernel_of(answer: Answer, scale: float, present: Tensor, classes: int) -> dict[str, Tensor]:
    """The state of the part `Kernel`, for logits times ``scale``; none where it is linear."""
    if answer.centres is None:
        return {}
    weights = torch.zeros(len(answer.centres.points), classes)
    weights[:, present] = scale * answer.centres.weights
    return {"centres": answer.centres.points, "weights": weights}


def _unknown(problem: Problem) -> tuple[Unknown, float]:
    """The unknown score, and the share of the unlabelled images that are of known classes."""
    space, classes = problem.space, len(problem.present)
    targets = torch.full((len(space.near),), -1)
    targets[problem.rows] = problem.labels
    fresh = Unknown()
    share = fresh.fit(space.looks, targets, classes, problem.seed % 2**32, space.transform.others)
    return fresh, share


SCALES = [1.1**step for step in range(-30, 61)]


def best_scale(held: Float[Tensor, "t c"], truth: Int[Tensor, " t"]) -> float:
    """One over the temperature that makes the log loss of held-out logits least; 1 for none.

    Source: Guo et al. 2017, "On calibration of modern neural networks". A ladder of scales
    instead of a search: no step fails, and a tenth is as fine as a few labels can tell.
    """
    if not len(truth):
        return 1.0
    losses = torch.stack([log_losses(scale * held, truth).mean() for scale in SCALES])
    return SCALES[int(losses.argmin())]


def log_losses(logits: Float[Tensor, "t c"], truth: Int[Tensor, " t"]) -> Float[Tensor, " t"]:
    """The log loss of each row."""
    return torch.nn.functional.cross_entropy(logits, truth, reduction="none")
