"""The loop: schedule, reveal, batches, steps, evaluate, record."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass, field
from time import monotonic
from typing import Any

import numpy as np
import torch
from torch import Tensor

from lll.labels.events import UNLABELLED
from lll.learn.batches import epoch_batches
from lll.learn.feeding import minibatches
from lll.learn.graphs import Replayed
from lll.learn.known import fit_quantiles
from lll.learn.learner import Learner
from lll.learn.naming import name_outputs
from lll.learn.position import Position
from lll.learn.prepare import Prepared, known_figures
from lll.learn.scores import scores
from lll.learn.trouble import says_what_fits, trouble
from lll.methods.method import Rows as MethodRows
from lll.seeding import derive


@dataclass(frozen=True)
class Watch:
    """Progress callbacks; they never change results.

    ``on_plan`` gets the prepared run and its `Run` before the first step; ``on_step`` the epoch,
    the steps that are done in it, and how many it has; ``on_epoch`` the metrics and the seconds
    of an epoch that is over; ``on_encode`` the images that the frozen encoder has done, of how
    many. When ``should_stop``, asked before each step, says True, the run is saved and ends.
    """

    on_plan: Callable[[Prepared, Any], None] = lambda prepared, run: None
    on_step: Callable[[int, int, int], None] = lambda epoch, step, steps: None
    on_epoch: Callable[[dict[str, Any], dict[str, float]], None] = lambda metrics, seconds: None
    should_stop: Callable[[], bool] = lambda: False
    on_encode: Callable[[int, int], None] = lambda done, total: None


@dataclass
class Progress:
    """How far a run is: ``position``, and of the epoch under way the figures and seconds so far.

    ``trace`` holds the figures of each step, on the device until the epoch's end.
    """

    position: Position = field(default_factory=lambda: Position(0))
    trace: dict[str, list[Tensor]] = field(default_factory=dict)
    seconds: float = 0.0


@dataclass(frozen=True)
class Epoch:
    """What an epoch gave: its ``metrics`` and ``seconds``, or what went wrong in it.

    An epoch that was stopped is not ``finished`` and has no metrics.
    """

    number: int
    finished: bool
    trouble: str | None = None
    metrics: dict[str, Any] = field(default_factory=dict)
    seconds: dict[str, float] = field(default_factory=dict)


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
    known = prepared.labels.at(epoch)
    at = np.sort(np.concatenate([known.labelled, known.unlabelled]))
    targets = np.full(len(at), UNLABELLED)
    targets[np.searchsorted(at, known.labelled)] = known.targets
    inputs = prepared.train.inputs
    rows = MethodRows(
        inputs=inputs[at] if len(at) < len(inputs) else inputs[:],
        views=prepared.seen(at),
        targets=torch.from_numpy(targets),
        classes=len(prepared.facts.class_names),
        seed=prepared.config.seed,
        shared=prepared.shared(at),
    )
    notes = learner.fit(rows)
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
