"""A run's data again, as the run knows it: its images, its classes in their places, its labels."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from torch import nn

from lll.data.assemble import joined
from lll.data.fingerprint import KIND, labels_hash
from lll.data.imageset import DataSet, ImageSet
from lll.errors import UserError
from lll.labels.events import UNLABELLED, LabelEvent
from lll.labels.store import State, has_store, open_store, replay
from lll.learn.features import Progress
from lll.learn.prepare import Prepared, prepare
from lll.ranks import ALONE, Ranks
from lll.runs.record import Run
from lll.runs.updates import Image, images_now, read_images, update_events


def prepare_again(
    run: Run,
    data: DataSet,
    ranks: Ranks = ALONE,
    *,
    encoder: nn.Module | None = None,
    cache: Path | None = None,
    progress: Progress | None = None,
    epoch: int | None = None,
) -> tuple[Prepared, list[LabelEvent] | None]:
    """`prepare` for ``run``, whose folder holds ``data`` now; and what it was told, or None.

    It is to go on from ``epoch``, or (None) to be looked at, on whatever device there is.

    Images that came since are left out, and classes too, until `lll.runs.update` takes them in.
    An updated run has the labels that it took in; any other has those of now, beside what it was
    told before. Raises UserError if images are not what they were.
    """
    data = as_recorded(run, data)
    told = None if run.updates else told_before(run, data, epoch)
    prepared = prepare(
        run.config.model_copy(update={"device": "auto"}) if epoch is None else run.config,
        data,
        ranks,
        encoder=encoder,
        cache=cache,
        progress=progress,
        told=told,
        events=events_of_run(run) if run.updates else None,
        cycles=run.cycles,
    )
    check_same_data(run, prepared)
    return prepared, told


def events_of_run(run: Run) -> list[LabelEvent]:
    """All labels that ``run`` was told before its first update, and by each."""
    first = run.cycles[0]
    before = [event for event in run.label_events() if event.epoch < first]
    return before + update_events(first, run.updates)


def as_recorded(run: Run, data: DataSet) -> DataSet:
    """The images of ``data`` that ``run`` has, each on its side, with the run's classes.

    Raises UserError where an image of the run is gone, or a class of a run without updates.
    """
    began = read_images(run.path)
    parts = data.parts
    if began is None:
        return data
    images = images_now(began, run.updates)
    ids = np.concatenate([part.ids for part in parts.values()])
    if not run.updates and data.class_names == run.data.class_names and images.keys() == set(ids):
        return data
    at = {str(name): row for row, name in enumerate(ids)}
    if not images.keys() <= at.keys():
        raise _changed(run)
    every = ImageSet(
        joined([part.images for part in parts.values()]),
        _labels(run, data, images, ids),
        ids,
    )
    rows = {
        split: np.array([at[i.id] for i in images.values() if i.split == split], dtype=np.intp)
        for split in ("train", "validation", "test")
    }
    if run.updates:  # its events say which of them are to choose with
        rows["train"], rows["validation"] = (
            np.concatenate(list(rows.values())[:2]),
            rows["train"][:0],
        )
    return replace(
        data,
        class_names=run.data.class_names,
        train=every.take(rows["train"]),
        test=every.take(rows["test"]),
        validation=every.take(rows["validation"]) if len(rows["validation"]) else None,
    )


def _labels(
    run: Run, data: DataSet, images: Mapping[str, Image], ids: NDArray[np.str_]
) -> NDArray[np.int64]:
    """The label of each of ``ids`` [n] by the run's numbers: as recorded, or as they are now."""
    if run.updates:
        recorded = (images[i].label if i in images else UNLABELLED for i in ids.tolist())
        return np.fromiter(recorded, np.int64, len(ids))
    names = run.data.class_names
    if not set(names) <= set(data.class_names) and not has_store(Path(run.config.data)):
        raise _changed(run)
    labels = numbers_in(run, data)[1]
    return np.where(labels < len(names), labels, UNLABELLED)


def numbers_in(run: Run, data: DataSet) -> tuple[tuple[str, ...], NDArray[np.int64]]:
    """The classes of ``run`` as they are called now, new ones after them; labels of ``data``.

    These [n], of all its parts, are the numbers of the classes in that order.
    """
    current = names_now(run)
    current += tuple(name for name in data.class_names if name not in current)
    of = np.array([*map(current.index, data.class_names), UNLABELLED])
    labels = np.concatenate([part.labels for part in data.parts.values()])
    return current, of[labels]


def names_now(run: Run) -> tuple[str, ...]:
    """What the classes of ``run`` are called now in the store of its folder, if it has one.

    They are known by the names that they had when the run last looked. One that was merged into
    another keeps its name, and gets no labels any more.
    """
    folder, names = Path(run.config.data), run.data.class_names
    if not has_store(folder):
        return names
    with open_store(folder, write=False) as store:
        state, events = store.state(), store.history()
    then = replay(event for event in events if event.seq <= run.data.seq)
    now = [_name_now(name, then, state) for name in names]
    return tuple(
        old if now.count(new) > 1 and new != old else new
        for old, new in zip(names, now, strict=True)
    )


def _name_now(name: str, then: State, now: State) -> str:
    class_id = then.named(name)
    if class_id is None:  # not of the store when the run looked
        class_id = now.named(name)
    if class_id not in now.classes:  # undone since
        return name
    return now.classes[now.resolved(class_id)].name


def check_same_data(run: Run, prepared: Prepared) -> None:
    """UserError if ``prepared`` has other images or classes than ``run`` was trained on."""
    now, then = prepared.facts, run.data
    # An earlier version made another hash, of which the number of images is left to compare.
    same = now.fingerprint == then.fingerprint or not then.fingerprint.startswith(KIND)
    if not same or now.images != then.images or now.class_names != then.class_names:
        raise _changed(run)


def _changed(run: Run) -> UserError:
    return UserError(
        f"data {run.config.data!r} is not what {run.path} was trained on: "
        "its images, ids or classes have changed; begin a new run, or try `lll update`"
    )


def told_before(run: Run, data: DataSet, epoch: int | None = None) -> list[LabelEvent] | None:
    """What ``run`` was told before ``epoch`` (ever, if None) if ``data`` has other labels now.

    None if the labels are the same, or if nobody knows: of runs of 0.1.
    """
    if run.data.labels in ("", labels_hash(data)):
        return None
    logging.getLogger("lll").warning(
        "the labels of data %r have changed since %s began: those of now count",
        run.config.data,
        run.path,
    )
    return [event for event in run.label_events() if epoch is None or event.epoch < epoch]
