"""Classes nobody has named: unlabelled images in groups, of known classes and of new ones."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from lll.config import RunConfig
from lll.data.imageset import DataSet, ImageSet
from lll.errors import UserError
from lll.labels.events import UNLABELLED
from lll.labels.store import Event, State, has_store, open_store
from lll.learn.features import Images, Progress, features_of
from lll.learn.front import front_of
from lll.learn.prepare import prepare
from lll.methods.features.space import fit_space
from lll.methods.novel.groups import Groups, group, purity
from lll.methods.novel.number import Number, estimate_number, known_share_of
from lll.runs.predict import encode, load_learner
from lll.runs.record import Run
from lll.seeding import derive
from lll.words import count

MODEL = "discover"
"""Who proposes, in the label store."""
ONE_CLASS = (
    "only one class has labels, {name!r}: what tells classes apart is learned from that class "
    "alone, so groups are rough: label images of a second class"
)


@dataclass(frozen=True)
class Pool:
    """Images to group: ``features`` [n, d], ids and pixels [n], and ``views`` [v, m, d] of some.

    Views are of images as they are, then augmented. ``targets`` [n] index ``names``, the
    classes that have a label, or are -1. ``folder`` is where they lie and their labels are
    kept, if that is a folder.
    """

    where: str
    features: Tensor
    views: Tensor
    targets: NDArray[np.int64]
    names: tuple[str, ...]
    ids: NDArray[np.str_]
    images: Images
    folder: Path | None


@dataclass(frozen=True)
class Proposal:
    """A class that may be there: its ``rows`` of the pool, the most typical first.

    ``purity`` is the share of the nearest neighbours of its images that are in it too.
    """

    name: str
    rows: NDArray[np.intp]
    purity: float


@dataclass(frozen=True)
class Discovery:
    """What the unlabelled images of a pool may be.

    ``rows`` [u] of the pool, their group [u] by ``names`` (known classes, then new ones), and
    their ``distance`` [u] to its centre, 1 for as far as labelled images are on average.
    ``number`` is the estimate of the number of new classes, where it was asked for. ``note``
    says what makes the groups less sure than they look, or is empty.
    """

    rows: NDArray[np.intp]
    of: NDArray[np.int64]
    distance: NDArray[np.float32]
    names: tuple[str, ...]
    proposals: tuple[Proposal, ...]
    number: Number | None
    note: str = ""


def pool_of_run(
    run: Run,
    *,
    new: int | None = None,
    cache: Path | None = None,
    progress: Progress | None = None,
) -> Pool:
    """The training images of ``run`` with the labels that it knows by now.

    Features are those of its frozen encoder, or the encodings of the one that it trained.
    Raises as `discover` does for ``new`` classes, and for a label store that cannot be
    written: before anything is encoded.
    """
    from lll.runs.train import data_of

    config = run.config.model_copy(update={"device": "cpu"})
    _check_store(Path(config.data))
    if run.metrics:
        _check_number(str(run.path), new, run.metrics[-1]["unlabelled"])
    prepared = prepare(config, data_of(config, cache=cache), cache=cache, progress=progress)
    known = prepared.labels.at(max(len(run.metrics) - 1, 0))
    targets = np.full(len(prepared.ids), UNLABELLED, dtype=np.int64)
    targets[known.labelled] = known.targets
    if prepared.front is None:
        encoded = encode(load_learner(run), prepared.train.inputs).encodings
        features, views = torch.from_numpy(encoded), torch.from_numpy(encoded)[None]
    else:
        assert isinstance(prepared.train.inputs, Tensor)
        last = prepared.front.last  # what all features together say is for a classifier
        features = prepared.train.inputs[:, :last]
        views = prepared.seen(np.arange(len(features)))[..., :last]
    return _pool(
        str(run.path),
        (features, views),
        targets,
        prepared.facts.class_names,
        ImageSet(prepared.train_images, targets, prepared.ids),
        Path(config.data),
    )


def pool_of_data(
    config: RunConfig,
    data: DataSet,
    *,
    new: int | None = None,
    cache: Path | None = None,
    progress: Progress | None = None,
) -> Pool:
    """The training images of ``data`` and its labels, by the frozen encoder of ``config``.

    Raises as `pool_of_run` does, before minutes of encoding.
    """
    _check(config.data, data.train.labels, new)
    _check_store(Path(config.data))
    front = front_of(config, torch.device("cpu"))
    if front is None:
        raise UserError(
            f"encoder {config.encoder!r} is not pretrained: take one that is (`lll encoders`), or "
            "train first and give the run"
        )
    views, folder = config.feature_views, Path(config.data)
    found = features_of(data.train, front, views=views, cache=cache, progress=progress)
    seen = torch.from_numpy(np.stack([found.base, *found.views])[..., : front.last])
    train = data.train
    return _pool(config.data, (seen[0], seen), train.labels, data.class_names, train, folder)


def discover(pool: Pool, new: int | None, seed: int) -> Discovery:
    """Group the unlabelled images of ``pool`` into its classes and ``new`` ones (None: estimate).

    Raises UserError without a labelled or an unlabelled image, and for more classes than
    there are images.
    """
    _check(pool.where, pool.targets, new)
    targets, classes = torch.from_numpy(pool.targets), len(pool.names)
    points, number = fit_space(pool.features, pool.views).points, None
    if new is None:
        number = estimate_number(points, targets, classes, derive(seed, "number"))
        new = min(number.new, int((targets < 0).sum()))
    share = known_share_of(points, targets, classes, new, derive(seed, "number"))
    groups = group(points, targets, classes, new, share, derive(seed, "groups"))
    free = np.flatnonzero(pool.targets < 0)
    proposals, order = _proposals(points, groups, free, classes)
    renumbered = np.concatenate([np.arange(classes), classes + np.argsort(order)])
    return Discovery(
        rows=free,
        of=renumbered[groups.of.numpy()[free]],
        distance=groups.distance.numpy()[free],
        names=(*pool.names, *(proposal.name for proposal in proposals)),
        proposals=proposals,
        number=number,
        note=ONE_CLASS.format(name=pool.names[0]) if classes == 1 else "",
    )


def propose(pool: Pool, found: Discovery) -> int:
    """Write the proposals into the label store of the pool's folder; how many.

    Open proposals of an earlier `discover` are rejected, so that names are clear. None is
    written where the images are not files of a folder.
    """
    if pool.folder is None or not found.proposals:
        return 0
    with open_store(pool.folder, write=True) as store:
        store.append(proposal_events(pool, found, store.state()))
    return len(found.proposals)


def proposal_events(pool: Pool, found: Discovery, state: State) -> list[Event]:
    """The events that put the proposals in place of those of an earlier `discover`."""
    stale = [p.id for p in state.proposals.values() if p.model == MODEL]
    events = [Event("reject", proposal=id_, actor=MODEL) for id_ in stale]
    # Class folders stay classes only beside a store that knows them.
    known = [name for name in pool.names if state.named(name) is None]
    events += [Event("class", name=name, actor=MODEL) for name in known]
    for each in found.proposals:
        images = tuple(str(pool.ids[row]) for row in each.rows)
        confidence = round(each.purity, 4)
        events.append(
            Event(
                "propose", images, name=each.name, model=MODEL, actor=MODEL, confidence=confidence
            )
        )
    return events


def _pool(
    where: str,
    features: tuple[Tensor, Tensor],
    targets: NDArray[np.int64],
    names: tuple[str, ...],
    images: ImageSet,
    folder: Path,
) -> Pool:
    """The pool whose classes are those that have a label."""
    present, at = np.unique(targets[targets >= 0], return_inverse=True)
    counted = targets.copy()
    counted[targets >= 0] = at
    ids = images.ids
    files = folder.is_dir() and all((folder / str(name)).is_file() for name in ids[:1])
    return Pool(
        where,
        *features,
        counted,
        tuple(names[c] for c in present),
        ids,
        images.images,
        folder if files else None,
    )


def _check(where: str, labels: NDArray[np.int64], new: int | None) -> None:
    if not (labels >= 0).any():
        raise UserError(f"{where}: no known class: label one image at least")
    free = int((labels < 0).sum())
    if not free:
        raise UserError(
            f"{where}: no unlabelled image, so there is nothing to discover: put images into a "
            "folder named 'unlabelled', or give a run that knows fewer labels"
        )
    _check_number(where, new, free)


def _check_number(where: str, new: int | None, free: int) -> None:
    if new is not None and new > free:
        raise UserError(
            f"{where}: {new} new classes are more than its {count(free, 'unlabelled image')}: "
            "lower --new-classes"
        )


def _check_store(folder: Path) -> None:
    """UserError where ``folder`` has a label store that cannot be written now."""
    if has_store(folder):
        with open_store(folder, write=True):
            pass


def _proposals(
    points: Tensor, groups: Groups, free: NDArray[np.intp], classes: int
) -> tuple[tuple[Proposal, ...], NDArray[np.intp]]:
    """The new groups by how many images they hold together, and which group each was."""
    of, distance = groups.of.numpy(), groups.distance.numpy()
    found = []
    for each in range(classes, len(groups.centres)):
        rows = free[of[free] == each]
        if len(rows):
            pure = float(purity(points, groups.of, torch.from_numpy(rows)).mean())
            found.append((each, Proposal("", rows[np.argsort(distance[rows])], pure)))
    found.sort(key=lambda one: -one[1].purity * len(one[1].rows))
    empty = sorted(set(range(classes, len(groups.centres))) - {each for each, _ in found})
    order = np.array([*(each for each, _ in found), *empty], dtype=np.intp) - classes
    named = (replace(one, name=f"new-{i}") for i, (_, one) in enumerate(found, 1))
    return tuple(named), order
