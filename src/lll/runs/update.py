"""Take what is new in a run's folder into the run: photos, labels, classes."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from torch import nn

from lll.config import RunConfig
from lll.data.facts import DataFacts
from lll.data.fingerprint import fingerprint, labels_hash
from lll.data.imageset import DataSet
from lll.errors import UserError
from lll.labels.events import Giver
from lll.learn.progress import Watch
from lll.learn.sides import sides_of
from lll.runs.again import as_recorded, events_of_run, numbers_in
from lll.runs.assess import EVALUATION, check_finished
from lll.runs.record import Run, load_run
from lll.runs.resume import resume
from lll.runs.train import data_of
from lll.runs.updates import (
    Change,
    Image,
    Update,
    append_update,
    images_now,
    images_of,
    read_images,
)
from lll.runs.writer import reopened
from lll.words import count, listed


@dataclass(frozen=True)
class News:
    """What is new since a run was trained, in numbers and names."""

    photos: int = 0
    gone: int = 0
    overwritten: int = 0
    labels: int = 0
    changed: int = 0
    removed: int = 0
    classes: tuple[str, ...] = ()
    renamed: tuple[tuple[str, str], ...] = ()

    def __bool__(self) -> bool:
        return self.teaches or bool(self.renamed)

    @property
    def teaches(self) -> bool:
        """Whether there is anything to learn from: more than new names."""
        return any(
            (
                *(self.photos, self.gone, self.overwritten),
                *(self.labels, self.changed, self.removed, self.classes),
            )
        )

    def __str__(self) -> str:
        kinds = count(len(self.classes), "new class", "new classes")
        said = {
            count(self.photos, "new photo"): self.photos,
            f"{count(self.gone, 'photo')} gone": self.gone,
            f"{count(self.overwritten, 'photo')} overwritten": self.overwritten,
            count(self.labels, "new label"): self.labels,
            count(self.changed, "other label"): self.changed,
            f"{count(self.removed, 'label')} taken away": self.removed,
            f"{kinds} {listed(map(repr, self.classes), 5)}": self.classes,
            listed(f"{old!r} is called {new!r}" for old, new in self.renamed): self.renamed,
        }
        return ", ".join(text for text, number in said.items() if number) or "nothing new"


def update(
    path: str | Path,
    *,
    data: DataSet | None = None,
    encoder: nn.Module | None = None,
    epochs: int | None = None,
    watch: Watch | None = None,
    cache: Path | None = None,
) -> tuple[Run, News]:
    """Take into the run at ``path`` what is new in its folder, and train it on from there.

    Earlier classes keep their numbers and new ones follow. An image stays on the side, to train,
    to choose or to test with, on which the run has seen it. A method that fits is fitted anew to
    all that is known; one that takes steps goes on for as many ``epochs`` as the run began with, or
    as given. ``data``, ``encoder`` and ``cache`` as in `lll.train`. Where nothing is new, nothing
    is done.

    Raises UserError for a run that is not finished or does not record its images, and as
    `lll.runs.resume.resume` does, which also goes on with an update that was stopped.
    """
    run = load_run(path)
    check_finished(run)
    data = data or data_of(run.config, encoder=encoder, cache=cache)
    with reopened(Path(path)) as writer:
        run = writer.run
        record, news = compared(run, data)
        if not news:
            return run, news
        record = replace(record, epochs=_epochs(run.config, run.cycles[0], epochs, news))
        (run.path / EVALUATION).unlink(missing_ok=True)  # of what the run was
        append_update(run.path, replace(record, facts=_facts(run, data, record)))
    if not record.epochs:
        return load_run(path), news
    return resume(path, data=data, encoder=encoder, watch=watch, cache=cache), news


def _epochs(config: RunConfig, first: int, asked: int | None, news: News) -> int:
    if asked is not None and asked < 1:
        raise UserError(f"--epochs {asked}: give 1 or more")
    if not news.teaches:
        return 0
    return 1 if config.how.fit is not None else asked or first


def compared(run: Run, data: DataSet) -> tuple[Update, News]:
    """What is another in ``data`` than in ``run``; the update has no epochs and few facts yet."""
    began = read_images(run.path)
    if began is None:
        raise UserError(f"{run.path}: does not record its images: train a new run on them")
    images = images_now(began, run.updates)
    names = run.data.class_names
    current, labels = numbers_in(run, data)
    now = {image.id: image for image in images_of(data, labels)}
    changes = [
        _change(data, then, image)
        for image in now.values()
        if (then := images.get(image.id)) is None
        or then.label != image.label
        or _is_other(then, image)
    ]
    gone = tuple(sorted(images.keys() - now.keys()))
    facts = DataFacts(data.name, current, 0, 0, 0, "", seq=data.seq)
    kinds = Counter(kind for change in changes for kind in _kinds(images.get(change.id), change))
    renamed = tuple(pair for pair in zip(names, current, strict=False) if pair[0] != pair[1])
    news = News(**kinds, gone=len(gone), classes=current[len(names) :], renamed=renamed)
    return Update(0, facts, tuple(changes), gone), news


def _kinds(then: Image | None, now: Change) -> Iterator[str]:
    """What is new of an image, as `News` counts it."""
    if then is None:
        yield "photos"
    elif _is_other(then, now):
        yield "overwritten"
    if (then is None or then.label < 0) and now.label >= 0:
        yield "labels"
    elif then is not None and then.label != now.label:
        yield "changed" if now.label >= 0 else "removed"


def _is_other(then: Image, now: Image | Change) -> bool:
    """Whether the photo was overwritten; of earlier versions nobody knows."""
    return then.hash not in ("", now.hash)


def _change(data: DataSet, then: Image | None, now: Image) -> Change:
    """What an update takes in of the image that is ``now``; it stays on its side."""
    if then is not None and then.label == now.label:
        return Change(then.split, now.id, now.label, "", "", now.hash)
    split = now.split if then is None else then.split
    return Change(split, now.id, now.label, *_giver(data, now), now.hash)


def _giver(data: DataSet, image: Image) -> tuple[str, str]:
    giver = data.givers.get(image.id, Giver("import"))
    return giver.origin, giver.time


def _facts(run: Run, data: DataSet, record: Update) -> DataFacts:
    """The facts of the data of ``run`` after the update ``record``."""
    after = replace(run, updates=(*run.updates, record), data=record.facts)
    merged = as_recorded(after, data)
    config = run.config.model_copy(update={"epochs": run.config.epochs + record.epochs})
    sides = sides_of(config, merged, (), (), events=events_of_run(replace(after, config=config)))
    return replace(
        record.facts,
        train=len(sides.train),
        validation=len(sides.validation),
        test=len(sides.test),
        fingerprint=fingerprint(merged),
        labels=labels_hash(merged),
    )
