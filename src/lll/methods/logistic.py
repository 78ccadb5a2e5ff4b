"""``logistic``: class-balanced logistic regression on the features of a frozen encoder.

Features are brought to length 1. The strength of the L2 penalty is chosen by cross-validation
on the labelled rows, where every class has two labels or more.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from lll.errors import UserError
from lll.methods.classify import probe
from lll.methods.method import Method, MethodOptions, Nets, Rows

STRENGTHS = (1.0, 10.0, 100.0)  # scikit-learn's C, the inverse of the penalty
FEW = 10.0  # with too few labels to choose by
FOLDS = 3
NEVER = -30.0
"""The logit of a class that has no label yet, beside those of the others."""


def fit(nets: Nets, rows: Rows, options: MethodOptions) -> Mapping[str, Any]:
    """Fill the probe; the figure ``inverse_penalty`` is scikit-learn's C.

    Raises UserError where fewer than two classes have a label.
    """
    known = rows.targets >= 0
    points = F.normalize(rows.inputs[known].float(), dim=1).cpu().numpy()
    targets = rows.targets[known].cpu().numpy()
    present, counts = np.unique(targets, return_counts=True)
    if len(present) < 2:
        raise UserError("method 'logistic' needs labels of two classes at least: label some more")
    strength = _chosen(points, targets, rows.seed) if counts.min() > 1 else FEW
    model = _model(strength, rows.seed).fit(points, targets)
    weight, bias = (torch.from_numpy(np.atleast_2d(a)).float() for a in _logits_of(model))
    head = nets["probe"]
    head.weight.zero_()
    head.bias.fill_(NEVER)
    head.weight[present] = weight.to(head.weight)
    head.bias[present] = bias.reshape(-1).to(head.bias)
    return {"inverse_penalty": strength}


def answers(nets: Nets, inputs: Tensor) -> tuple[Tensor, Tensor]:
    """The features at length 1, and the probe's logits of them."""
    points = F.normalize(inputs, dim=1)
    return points, nets["probe"](points)


def _model(strength: float, seed: int) -> Any:
    from sklearn.linear_model import LogisticRegression

    return LogisticRegression(C=strength, class_weight="balanced", max_iter=1000, random_state=seed)


def _chosen(points: NDArray[np.float32], targets: NDArray[np.int64], seed: int) -> float:
    """Of `STRENGTHS` the one with the least log loss on rows left out."""
    from sklearn.model_selection import StratifiedKFold, cross_val_score

    folds = StratifiedKFold(
        min(FOLDS, int(np.bincount(targets)[np.unique(targets)].min())),
        shuffle=True,
        random_state=seed,
    )
    scores = [
        cross_val_score(
            _model(strength, seed), points, targets, cv=folds, scoring="neg_log_loss"
        ).mean()
        for strength in STRENGTHS
    ]
    return STRENGTHS[int(np.argmax(scores))]


def _logits_of(model: Any) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Weights [c, d] and biases [c] of a logit per class; scikit-learn has one for two classes."""
    weight, bias = model.coef_, model.intercept_
    if len(weight) == 1:
        weight, bias = np.vstack([-weight, weight]) / 2, np.concatenate([-bias, bias]) / 2
    return weight, bias


METHOD = Method(
    summary="logistic regression on features, balanced over the classes",
    options=MethodOptions,
    parts=probe,
    fit=fit,
    answers=answers,
    defaults=lambda given: {"epochs": 1, "validation_share": 0.0},
)
