"""From a configuration and a data set to everything that learning needs, checked."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from lll.config import RunConfig
from lll.data.facts import DataFacts
from lll.data.fingerprint import fingerprint, labels_hash
from lll.data.imageset import DataSet, Skipped, Unused
from lll.errors import UserError
from lll.labels.events import (
    UNLABELLED,
    Giver,
    Known,
    LabelEvent,
    Source,
    events_of,
    new_events,
)
from lll.labels.oracle import order_of_classes
from lll.labels.schedule import EpochPlan, class_schedule, label_schedule, plan_run
from lll.learn.device import computes_in_bfloat16, pick_device
from lll.learn.features import Images, Progress
from lll.learn.feeding import Split
from lll.learn.front import front_of
from lll.learn.inputs import inputs_of, kept_features, viewed_rows
from lll.learn.kept import Kept, hash_of
from lll.learn.sides import Sides, sides_of
from lll.methods.batch import Views
from lll.methods.method import Rows
from lll.nets.frozen import Frozen
from lll.ranks import ALONE, Ranks
from lll.views.features import FeatureViews
from lll.views.geometric import Strength
from lll.views.images import ImageViews


@dataclass(frozen=True)
class Prepared:
    """A run that is ready to start: what it will do, and the data it will do it on.

    ``train``, ``validation`` and ``test`` are disjoint. ``ids`` [n] are those of ``train``,
    and ``labels`` says what is known of them when; so do ``validation_ids`` and ``choosing``
    for the images set aside, of which ``validation`` holds those whose label is known by the
    last epoch. ``givers`` say, by id, where labels are from that no schedule reveals. With a
    frozen encoder in ``front`` the inputs are its features, and ``cached_views`` [v, m, d] those
    of augmented views of the rows ``viewed`` [m] of ``train``; ``train_images`` and
    ``test_images`` uint8 [n, h, w, 3] are there to be shown in either case. The method's first
    stage takes ``first_epochs``; from the epoch ``since`` on the data is what it is. ``skipped``
    images and ``unused`` files are those of the data set. ``kept`` holds what other runs of this
    process can use.
    """

    config: RunConfig
    device: torch.device
    ranks: Ranks
    bfloat16: bool
    facts: DataFacts
    plan: tuple[EpochPlan, ...]
    class_order: tuple[int, ...]
    labels: Source
    choosing: Source
    givers: Mapping[str, Giver]
    ids: NDArray[np.str_]
    validation_ids: NDArray[np.str_]
    train: Split
    validation: Split
    test: Split
    train_images: Images
    test_images: Images
    front: Frozen | None
    viewed: NDArray[np.intp]
    cached_views: torch.Tensor | None
    first_epochs: int
    since: int
    skipped: tuple[Skipped, ...]
    unused: tuple[Unused, ...]
    kept: Kept

    def stage(self, epoch: int) -> int:
        """Which of the method's stages ``epoch`` belongs to."""
        last = len(self.config.how.stages(self.config.options)) - 1
        return 0 if epoch < self.first_epochs else last

    def rates(self, epoch: int) -> Mapping[str, float]:
        """The learning rate of each optimizer at ``epoch``."""
        plan = self.plan[epoch]
        return {"contrastive": plan.contrastive_rate, "probe": plan.probe_rate}

    def new_events(self, epoch: int) -> list[LabelEvent]:
        """The labels that become known at ``epoch``, to train and to choose with."""
        return [
            *new_events(self.labels, self.ids, epoch, "schedule", self.givers),
            *new_events(self.choosing, self.validation_ids, epoch, "validation", {}),
        ]

    def events_beyond(self, told: Collection[LabelEvent], epoch: int) -> list[LabelEvent]:
        """The labels that are known at ``epoch`` and are not ``told``."""
        known = {(event.id, event.label) for event in told}
        now = [
            *events_of(self.labels.at(epoch), self.ids, epoch, "schedule", self.givers),
            *events_of(self.choosing.at(epoch), self.validation_ids, epoch, "validation", {}),
        ]
        return [event for event in now if (event.id, event.label) not in known]

    def views(self, generator: torch.Generator) -> Views:
        """The views of the training rows, drawn from ``generator``."""
        if self.cached_views is not None:
            return FeatureViews(self.cached_views, generator)
        return self.image_views(generator)

    def rows(self, epoch: int) -> Rows:
        """All that is known at ``epoch``, for a method that fits."""
        known = self.labels.at(epoch)
        at = np.sort(np.concatenate([known.labelled, known.unlabelled]))
        targets = np.full(len(at), UNLABELLED)
        targets[np.searchsorted(at, known.labelled)] = known.targets
        inputs = self.train.inputs
        return Rows(
            inputs=inputs[at] if len(at) < len(inputs) else inputs[:],
            views=self.seen(at),
            targets=torch.from_numpy(targets),
            classes=len(self.facts.class_names),
            seed=self.config.seed,
            last=None if self.front is None else self.front.last,
            pretraining=None if self.front is None else self.front.pretraining,
            shared=self.shared(at),
        )

    def seen(self, at: NDArray[np.intp]) -> torch.Tensor:
        """Features [1 + v, m, d] of those rows ``at`` whose views are cached: as is, then views."""
        if self.cached_views is None:
            raise TypeError("a run on images has no cached views")
        cached = self.cached_views

        def make() -> torch.Tensor:
            there = np.isin(self.viewed, at)
            plain = self.train.inputs[self.viewed[there]]
            return torch.cat([plain[None], cached[:, there]])

        return self.kept.get(("seen", *self._key(at)), make)

    def shared(self, at: NDArray[np.intp]) -> dict[str, Any]:
        """Where fits to the rows ``at`` leave what others to the same rows can use."""
        if self.front is None or self.cached_views is None:
            return {}
        return self.kept.get(("fits", *self._key(at)), dict)

    def _key(self, at: NDArray[np.intp]) -> tuple[Any, ...]:
        """Stands for the features of the rows ``at`` and for those of their views."""
        if self.front is None or self.cached_views is None:
            raise TypeError("a run on images has no features")
        which = (self.front.hash, self.front.size, self.facts.fingerprint, str(self.device))
        return *which, hash_of(self.ids[at]), len(self.cached_views)

    def image_views(self, generator: torch.Generator) -> ImageViews:
        """The views of images, drawn from ``generator``."""
        c = self.config
        strong = Strength(c.strong_min_area, c.strong_brightness, c.strong_jitter, c.flip)
        return ImageViews(
            Strength(c.weak_min_area, c.weak_brightness, c.weak_jitter, c.flip),
            strong if c.strong_view == "zoom" else None,
            generator,
        )


def plan_rows(prepared: Prepared) -> list[dict[str, Any]]:
    """The plan as one dictionary per epoch: what is known when, and the learning rates."""
    stages = prepared.config.how.stages(prepared.config.options)
    return [
        {
            **known_figures(prepared, epoch),
            "label_rate": _share(prepared.labels.at(epoch)),
            "steps": [step.name for step in stages[prepared.stage(epoch)]],
        }
        for epoch in range(prepared.config.epochs)
    ]


def known_figures(prepared: Prepared, epoch: int) -> dict[str, Any]:
    """What is known at ``epoch``, in numbers, and the learning rates."""
    plan, known = prepared.plan[epoch], prepared.labels.at(epoch)
    return {
        "epoch": epoch,
        "classes": len(known.classes),
        "labels_known": len(known.labelled),
        "labels_to_choose": len(prepared.choosing.at(epoch).labelled),
        "unlabelled": len(known.unlabelled),
        "contrastive_rate": plan.contrastive_rate,
        "probe_rate": plan.probe_rate,
    }


def _share(known: Known) -> float:
    return len(known.labelled) / max(len(known.labelled) + len(known.unlabelled), 1)


def prepare(
    config: RunConfig,
    data: DataSet,
    ranks: Ranks = ALONE,
    *,
    encoder: nn.Module | None = None,
    cache: Path | None = None,
    progress: Progress | None = None,
    told: Collection[LabelEvent] | None = None,
    events: Collection[LabelEvent] | None = None,
    cycles: Sequence[int] = (),
    kept: Kept | None = None,
) -> Prepared:
    """Check ``config`` against ``data`` and lay out the run; nothing is written.

    With several ``ranks`` it is their run together, each on its own device. UserError for an
    unusable device, more classes than the data has, no training image, no label. With a frozen
    encoder (``encoder`` is the caller's own) the images are encoded here, or found in the
    ``cache``; ``progress`` is told how far.
    ``told`` is what the run was told before the labels of ``data`` changed; ``events`` say in
    place of the plan what is known when. ``cycles`` are the epochs of the plan, and then of each
    time that training went on with new labels. Runs of one process share what is ``kept``.
    """
    device, kept = pick_device(config.device, ranks), kept or Kept()
    plan = _plan(config, len(data.class_names), cycles := cycles or (config.epochs,))
    order = "data" if events is not None else config.class_order
    class_order = order_of_classes(order, data.class_names, config.seed)
    sides = sides_of(config, data, class_order, plan, told or (), events, kept)
    facts, front = _facts(data, sides), _front(config, device, encoder, kept)
    viewed, parts = viewed_rows(config, sides.train.ids, kept), sides.known_by(config.epochs - 1)
    find = partial(kept_features, kept, front, facts.fingerprint, device, cache, progress)
    inputs, cached = inputs_of(parts, viewed, device, config, ranks, find)
    train, validation, test = map(Split, inputs, (part.labels for part in parts))
    return Prepared(
        config=config,
        device=device,
        ranks=ranks,
        bfloat16=computes_in_bfloat16(config.precision, device),
        facts=facts,
        plan=tuple(plan),
        class_order=class_order,
        labels=sides.labels,
        choosing=sides.choosing,
        ids=sides.train.ids,
        validation_ids=sides.validation.ids,
        givers=sides.givers,
        train=train,
        validation=validation,
        test=test,
        train_images=sides.train.images,
        test_images=sides.test.images,
        front=front,
        viewed=viewed,
        cached_views=cached,
        first_epochs=config.how.first_epochs(config.options),
        since=config.epochs - cycles[-1],
        skipped=data.skipped,
        unused=data.unused,
        kept=kept,
    )


def _plan(config: RunConfig, classes: int, cycles: Sequence[int]) -> list[EpochPlan]:
    """The plan of every epoch: the learning rates begin anew in each of ``cycles``."""
    plans = [
        plan_run(
            epochs=epochs,
            class_count=classes,
            classes=class_schedule("all") if number else config.classes,
            labels=label_schedule("1") if number else config.labels,
            contrastive_rate=config.contrastive_rate,
            probe_rate=config.probe_rate,
        )
        for number, epochs in enumerate(cycles)
    ]
    return [replace(plan, epoch=epoch) for epoch, plan in enumerate(chain(*plans))]


def _front(
    config: RunConfig, device: torch.device, encoder: nn.Module | None, kept: Kept
) -> Frozen | None:
    if encoder is not None:
        return front_of(config, device, encoder)
    which = (config.encoder, config.image_size, config.weights, str(device), config.freeze)
    return kept.get(("front", *which), lambda: front_of(config, device, encoder))


def _facts(data: DataSet, sides: Sides) -> DataFacts:
    return DataFacts(
        name=data.name,
        class_names=data.class_names,
        train=len(sides.train),
        validation=len(sides.validation),
        test=len(sides.test),
        fingerprint=data.fingerprint or fingerprint(data),
        labels=labels_hash(data),
        seq=data.seq,
    )


def check_one_class(config: RunConfig, data: DataSet) -> None:
    """UserError for data of one class, on which nothing can be wrong, unless it is asked for."""
    if len(data.class_names) == 1 and not (config.classes.low == 1 == config.classes.high):
        raise UserError(
            f"data {data.name!r} has one class only, {data.class_names[0]!r}: check its folders or"
            " labels with `lll data info`; to train on one class say so with --classes 1"
        )
