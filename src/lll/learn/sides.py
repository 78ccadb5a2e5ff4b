"""Which images a run trains on, validates on and tests on, and who says their labels."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from lll.config import RunConfig
from lll.data.assemble import joined
from lll.data.imageset import DataSet, ImageSet
from lll.errors import UserError
from lll.labels.events import UNLABELLED, Giver, LabelEvent, Replay, Source, read_events
from lll.labels.oracle import Oracle, plan_to_choose, reveal_order
from lll.labels.schedule import EpochPlan
from lll.labels.splits import set_aside
from lll.learn.kept import Kept, hash_of


@dataclass(frozen=True)
class Sides:
    """Images to train, validate and test on, which are disjoint.

    ``labels`` says what is known when of the training images, ``choosing`` of the validation ones;
    ``givers``, by id, where labels are from that no schedule reveals.
    """

    train: ImageSet
    validation: ImageSet
    test: ImageSet
    labels: Source
    choosing: Source
    givers: Mapping[str, Giver]

    def known_by(self, epoch: int) -> list[ImageSet]:
        """Images to train, to validate with a label known by ``epoch``, and to test."""
        known = self.choosing.at(epoch).labelled
        return [self.train, self.validation.take(known), self.test]


def sides_of(
    config: RunConfig,
    data: DataSet,
    class_order: tuple[int, ...],
    plan: Sequence[EpochPlan],
    told: Collection[LabelEvent] = (),
    events: Collection[LabelEvent] | None = None,
    kept: Kept | None = None,
) -> Sides:
    """How ``config`` divides ``data``; runs of one process share what is ``kept``.

    An image that the run was ``told`` of earlier, before the labels of ``data`` changed, stays
    on its side: none is tested with that was trained on. ``events`` say in place of ``plan`` what
    is known when. Raises UserError for data without a
    labelled training image, and for events that are about no training image.
    """
    if not len(data.train):
        raise UserError(f"data {data.name!r} has no training images: add some")
    data = _as_told(data, told)
    events = _events(config, data) if events is None else events
    train, validation = _parted(config, data, events, told)
    found = (train, validation, class_order, plan, events)
    labels, choosing = _sources(config, *found, kept or Kept())
    givers = data.givers
    if events is not None:
        givers = {event.id: Giver(event.origin, event.time) for event in events}
    if config.how.fit is not None and len(np.unique(labels.at(0).targets)) < 2:
        raise UserError(
            f"method {config.method!r} needs labels of two classes at least: label some more"
        )
    return Sides(train, validation, data.test, labels, choosing, givers)


def _as_told(data: DataSet, told: Collection[LabelEvent]) -> DataSet:
    """``data`` without test images that the run was ``told`` of, which are for training."""
    moved = np.isin(data.test.ids, [event.id for event in told])
    if not moved.any():
        return data
    first, second = data.train, data.test.take(moved)
    train = ImageSet(
        joined([first.images, second.images]),
        np.concatenate([first.labels, second.labels]),
        np.concatenate([first.ids, second.ids]),
    )
    return replace(data, train=train, test=data.test.take(~moved))


def _events(config: RunConfig, data: DataSet) -> list[LabelEvent] | None:
    if config.label_events is None:
        return None
    events = read_events(Path(config.label_events), data.class_names)
    if not set(data.train.ids.tolist()) & {event.id for event in events}:
        raise UserError(
            f"{config.label_events}: no event is about a training image of {data.name!r}: "
            "ids must be those of the data"
        )
    images = {skipped.path for skipped in data.skipped}.union(
        *(part.ids.tolist() for part in data.parts.values())
    )
    lost = [event.id for event in events if event.id not in images]
    if lost:
        raise UserError(
            f"{config.label_events}: {lost[0]!r} ({len(lost)} in all) is no image of "
            f"{data.name!r}: correct the id or remove the row"
        )
    return events


def _parted(
    config: RunConfig,
    data: DataSet,
    events: Collection[LabelEvent] | None,
    told: Collection[LabelEvent],
) -> tuple[ImageSet, ImageSet]:
    """Training and validation images: as the events say, as the data gives, or by a share."""
    train = data.train
    if events is not None:
        aside = np.isin(train.ids, [e.id for e in events if e.origin == "validation"])
        return train.take(~aside), train.take(aside)
    if not (train.labels != UNLABELLED).any():
        raise UserError(f"data {config.data!r} has no labelled training image: label at least one")
    if data.validation is not None:
        return train, data.validation
    aside = set_aside(train.ids, train.labels, config.validation_share, config.seed, "validation")
    for event_side in (True, False):
        ids = [e.id for e in told if (e.origin == "validation") == event_side]
        aside[np.isin(train.ids, ids)] = event_side
    return train.take(~aside), train.take(aside)


def _sources(
    config: RunConfig,
    train: ImageSet,
    validation: ImageSet,
    class_order: tuple[int, ...],
    plan: Sequence[EpochPlan],
    events: Collection[LabelEvent] | None,
    kept: Kept,
) -> tuple[Source, Source]:
    """Who says which training labels are known when, and which validation labels."""
    if events is not None:
        return Replay.of(train.ids, events), Replay.of(validation.ids, events)
    scale = len(validation) / len(train)
    to_choose = plan_to_choose(plan, scale)
    if config.validation_labels == "all":
        count = len(class_order)
        to_choose = tuple(replace(e, classes=count, labels=1.0, per_class=False) for e in plan)

    def oracle(part: ImageSet, when: Sequence[EpochPlan]) -> Oracle:
        seed = config.seed
        key = ("order", hash_of(part.ids), seed)
        order = kept.get(key, lambda: reveal_order(part.ids, seed))
        pool = config.unlabelled_pool
        return Oracle.of(part.ids, part.labels, class_order, when, pool, seed, order)

    return oracle(train, plan), oracle(validation, to_choose)
