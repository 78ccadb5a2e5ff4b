"""Mixtures of Gaussians as features: what a learner for few labels sees, made in a moment."""

import numpy as np
import torch

from lll.methods import METHODS
from lll.methods.method import Rows, Shape


def mixture(counts, *, width=24, apart=2.0, seed=0, centres=0):
    """Features [n, width] and classes [n]: ``counts`` points of each class about its centre."""
    means = np.random.default_rng(centres).normal(0, apart / 2, (len(counts), width))
    rng = np.random.default_rng([seed, 1])
    truth = rng.permutation(np.repeat(np.arange(len(counts)), counts))
    points = means[truth] + rng.normal(0, 1, (len(truth), width))
    return torch.from_numpy(points).float(), torch.from_numpy(truth)


def hide(truth, labels, seed=0):
    """Targets [n] with ``labels`` of each class (a number, or one for each), -1 elsewhere."""
    rng = np.random.default_rng([seed, 2])
    targets = torch.full_like(truth, -1)
    for c in range(int(truth.max()) + 1):
        at = rng.permutation(np.flatnonzero(truth.numpy() == c))
        keep = torch.from_numpy(at[: labels if isinstance(labels, int) else labels[c]])
        targets[keep] = c
    return targets


def fitted(method, features, targets, classes, views=None, last=None):
    """The parts of ``method`` after its fit, and its notes."""
    how, options = METHODS[method], METHODS[method].options()
    nets = how.parts(Shape(features.shape[1], classes, 8, "relu", last), options)
    views = features[None] if views is None else torch.stack([features, *views])
    with torch.no_grad():
        notes = how.fit(nets, Rows(features, views, targets, classes, 0, last), options)
    return {name: part.requires_grad_(False) for name, part in nets.items()}, notes


def accuracy(method, nets, features, truth):
    """The mean over classes of the share of each that is right."""
    right = METHODS[method].answers(nets, features)[1].argmax(dim=1) == truth
    return float(np.mean([right[truth == c].float().mean() for c in truth.unique()]))
