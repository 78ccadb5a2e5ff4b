"""Run by several processes: the gradient of every step of a method, on its share of a minibatch.

`main` with the arguments OUT METHOD[:RULE]... saves {case: {step/parameter: gradient}} as OUT-RANK.
"""

import os
import sys

import torch
from tests.tiny import batches_of, tiny_config, tiny_data

from lll.learn.batches import BatchIndex
from lll.learn.prepare import prepare
from lll.ranks import joined
from lll.runs.train import begin


def gradients(ranks, method, rule=None):
    config = tiny_config(method=method, rule=rule, classes=4, labels=0.5)
    prepared = prepare(config, tiny_data(), ranks)
    learner = begin(prepared)
    # Without Adam, whose first update hides the size of a gradient.
    learner.optimizers = {
        name: torch.optim.SGD(optimizer.param_groups[0]["params"], lr=1.0)
        for name, optimizer in learner.optimizers.items()
    }
    known = prepared.labels.at(0)
    index = BatchIndex(known.labelled[:7], known.unlabelled[:10])
    views = torch.Generator()
    (batch,) = batches_of(prepared, 0, [index], views)
    saved = {}
    for step in learner.stages[0]:
        before = {n: p.detach().clone() for n, p in learner.named_parameters()}
        views.manual_seed(1)
        losses = learner.take(step, batch)
        if losses is None:
            continue
        figures = {"loss": losses.values.detach().mean(), **losses.figures}
        for name, value in figures.items():
            saved[f"{step.name}/{name}"] = ranks.add(value.clone())
        for name, parameter in learner.named_parameters():
            saved[f"{step.name}/{name}"] = before[name] - parameter.detach()
            with torch.no_grad():
                parameter.copy_(before[name])  # each step from the same weights
    return saved


def main():
    out, *cases = sys.argv[1:]
    with joined(os.environ, "gloo") as ranks:
        found = {case: gradients(ranks, *case.split(":")) for case in cases}
        torch.save(found, f"{out}-{ranks.rank}")
