"""The loop: schedule, reveal, batches, steps, evaluate, record."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import closing
from time import monotonic
from typing import Any

import torch

from lll.learn.batches import epoch_batches
from lll.learn.feeding import minibatches
from lll.learn.graphs import Replayed
from lll.learn.known import fit_quantiles
from lll.learn.learner import Learner
from lll.learn.naming import name_outputs
from lll.learn.position import Position
from lll.learn.prepare import Prepared, known_figures
from lll.learn.progress import Epoch, Progress, Watch
from lll.learn.scores import scores
from lll.learn.trouble import says_what_fits, trouble
from lll.seeding import derive


def learn(
    prepared: Prepared,
    learner: Learner,
    progress: Progress,
    watch: Watch,
    *,
    score: bool = True,
    graphs: bool = False,
) -> Iterator[Epoch]:
    """Train ``learner`` from ``progress`` to the last epoch, and hand out every epoch.

    The caller saves in between. It ends early if ``watch`` asks to stop. Without ``score``
    nothing is evaluated. With ``graphs``, steps on a GPU are recorded as CUDA graphs.
    """
    for epoch in range(progress.position.epoch, prepared.config.epochs):
        learner.begin_stage(prepared.stage(epoch))
        learner.set_rates(prepared.rates(epoch))
        notes: Mapping[str, Any] = {}
        if learner.method.fit is None:
            if not progress.position.step:
                name_outputs(prepared, learner, epoch)
            finished = _train_epoch(prepared, learner, progress, watch, epoch, graphs)
        elif finished := not prepared.ranks.any(watch.should_stop()):
            notes = _fit_epoch(prepared, learner, progress, epoch)
        wrong = trouble(learner, progress.trace, epoch)
        if wrong or not finished:
            yield Epoch(epoch, finished, wrong)
            return
        begun = monotonic()
        if score:
            fit_quantiles(prepared, learner, epoch)
        figures = {
            **known_figures(prepared, epoch),
            **notes,
            **{name: float(torch.stack(values).mean()) for name, values in progress.trace.items()},
            **(scores(prepared, learner, epoch) if score else {}),
        }
        evaluated = monotonic() - begun
        seconds = {"seconds": progress.seconds + evaluated, "evaluate_seconds": evaluated}
        progress.position, progress.trace, progress.seconds = Position(epoch + 1), {}, 0.0
        yield Epoch(epoch, True, None, figures, seconds)
        watch.on_epoch(figures, seconds)


def _fit_epoch(
    prepared: Prepared, learner: Learner, progress: Progress, epoch: int
) -> Mapping[str, Any]:
    """Fit the learner to all that is known at ``epoch``; what it says of the fit."""
    begun = monotonic()
    notes = learner.fit(prepared.rows(epoch))
    progress.seconds = monotonic() - begun
    return notes


def _train_epoch(
    prepared: Prepared,
    learner: Learner,
    progress: Progress,
    watch: Watch,
    epoch: int,
    graphs: bool,
) -> bool:
    """Every minibatch of ``epoch`` from the position on; False if ``watch`` asked to stop."""
    config, known, start = prepared.config, prepared.labels.at(epoch), progress.position.step
    batches = epoch_batches(
        known.labelled,
        known.unlabelled,
        batch_size=config.batch_size,
        labelled_batch_size=config.labelled_batch_size,
        seed=config.seed,
        epoch=epoch,
    )
    begun = monotonic() - progress.seconds
    draws = torch.Generator(prepared.device)
    take = Replayed(learner.step, draws, learner.changing) if graphs else learner.step
    feed = minibatches(
        prepared.train.inputs,
        known,
        batches[start:],
        prepared.views(draws),
        prepared.device,
        prepared.ranks,
    )
    finished = True
    with says_what_fits(config.batch_size, prepared.device), closing(feed):
        for number, batch in enumerate(feed, start):
            if prepared.ranks.any(watch.should_stop()):
                finished = False
                break
            # Drawn anew for each minibatch, so that a run can go on from any of them.
            draws.manual_seed(derive(config.seed, "views", epoch, number))
            for name, value in take(batch).items():
                progress.trace.setdefault(name, []).append(value)
            progress.position = Position(epoch, number + 1)
            watch.on_step(epoch, number + 1, len(batches))
    if not prepared.ranks.alone:  # until now each rank has its own contributions
        for name, values in progress.trace.items():
            progress.trace[name] = list(prepared.ranks.add(torch.stack(values)))
    progress.seconds = monotonic() - begun
    return finished
