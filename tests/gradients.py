"""Run by several processes: the gradient of every step of a method, on its share of a minibatch.

``python gradients.py OUT METHOD[:RULE]...`` saves {case: {step/parameter: gradient}} as OUT-RANK.
"""

import os
import sys

import torch
from tests.tiny import tiny_config, tiny_data

from lll.learn.batches import BatchIndex
from lll.learn.feeding import minibatches
from lll.ranks import joined
from lll.runs import train as training
from lll.runs.prepare import prepare


def gradients(processes, method, rule=None):
    config = tiny_config(method=method, rule=rule, classes=4, labels=0.5)
    prepared = prepare(config, tiny_data(), processes)
    learner = training._begin(prepared, None)
    # Without Adam, whose first update hides the size of a gradient.
    learner.optimizers = {
        name: torch.optim.SGD(optimizer.param_groups[0]["params"], lr=1.0)
        for name, optimizer in learner.optimizers.items()
    }
    known = prepared.known(0)
    index = BatchIndex(known.labelled[:7], known.unlabelled[:10])
    batch = next(minibatches(prepared.train, [index], prepared.device, processes))
    networks = training._networks(learner.modules, prepared)
    saved = {}
    for step in prepared.stages[0]:
        before = {n: p.detach().clone() for n, p in learner.modules.named_parameters()}
        views = torch.Generator().manual_seed(1)
        result = training._take(step, learner, networks, batch, prepared.options, views)
        figures = {"loss": result.losses.detach().mean(), **result.figures}
        for name, value in figures.items():
            saved[f"{step.name}/{name}"] = processes.add(value.clone())
        for name, parameter in learner.modules.named_parameters():
            saved[f"{step.name}/{name}"] = before[name] - parameter.detach()
            with torch.no_grad():
                parameter.copy_(before[name])  # each step from the same weights
    return saved


if __name__ == "__main__":
    out, *cases = sys.argv[1:]
    with joined(os.environ, "gloo") as together:
        found = {case: gradients(together, *case.split(":")) for case in cases}
        torch.save(found, f"{out}-{together.rank}")
