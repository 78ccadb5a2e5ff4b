"""A folder with labels of its own (`lll.labels.store`), beside those of class folders or a CSV.

The images are decoded without their labels, and kept, so that a label that comes costs nothing.
"""

from __future__ import annotations

import logging
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from functools import partial
from itertools import compress
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from lll.data.assemble import Options, assemble, check_class_names, id_array
from lll.data.cache import load_cached, stamp_of
from lll.data.files import Files, Item, is_table, make_files, states_of, unwrapped
from lll.data.imageset import DataSet, ImageSet, Unused
from lll.data.layout import splits_of
from lll.data.paths import as_text
from lll.data.sources.folder import class_items
from lll.data.sources.parquet import holds_images
from lll.data.sources.table import table_items, tables_of
from lll.data.walk import Entry
from lll.errors import UserError
from lll.labels.events import UNLABELLED, Giver
from lll.labels.names import is_unlabelled_folder
from lll.labels.store import Label, State, content_of, found_again, has_store, open_store
from lll.words import listed

GONE = "labelled, and no longer in the folder or another image by now"


@dataclass(frozen=True)
class Own:
    """Labels of a store that count: ``names`` of all its classes, and what it says by path."""

    names: tuple[str, ...]
    labels: Mapping[str, str]
    givers: Mapping[str, Giver]
    gone: Sequence[str]
    seq: int


def labels_itself(path: Path, entries: Iterable[Entry]) -> bool:
    """Whether the folder ``path`` with ``entries`` holds image files and labels of its own."""
    return path.is_dir() and has_store(path) and not holds_images(make_files("", entries))


def load_own(path: Path, entries: Sequence[Entry], options: Options, cache: Path | None) -> DataSet:
    """A DataSet of the image files of a folder, with the labels of its store and all others.

    Classes are those that the store, the folders or a table name, sorted, with or without a
    label. A label of the store always trains; ``test_share`` is of the others. Folders are classes
    unless the store names none of them, and labels images in them. Raises UserError where the
    store and a folder or a table disagree.
    """
    where, name = as_text(str(path)), as_text(path.resolve().name)
    files = unwrapped(make_files(where, entries))
    inside = files.where[len(where) :].strip("/")
    own = read_own(path, entries, f"{inside}/" if inside else "")
    items = _agreed(_items(files, own), own, where)
    images = [entry for entry in entries if not is_table(entry.path)]
    decode = partial(_decoded, name, files)
    source, stamp = f"{path.absolute()} images", stamp_of(path, images)
    data = load_cached(source, stamp, decode, options, cache, lambda: states_of(entries))
    return _labelled(data, items, own, options)


def read_own(path: Path, entries: Iterable[Entry], inside: str = "") -> Own:
    """What the store of the folder ``path`` says of its ``entries``, by path below ``inside``."""
    with open_store(path, write=False) as store:
        state = store.state()
    now = _places(state, entries)
    by_path = {now[image]: label for image, label in state.labels.items() if image in now}
    inner = {p.removeprefix(inside): one for p, one in by_path.items() if p.startswith(inside)}
    return Own(
        tuple(state.live().values()),
        {p: state.classes[state.resolved(one.class_id)].name for p, one in inner.items()},
        {p: Giver(one.origin, _iso(one.time)) for p, one in inner.items()},
        sorted(state.labels.keys() - now.keys()),
        state.seq,
    )


def _places(state: State, entries: Iterable[Entry]) -> dict[str, str]:
    """Where the images of labels are now; a file that nobody has touched since is not read."""
    files = {entry.path: entry for entry in entries if entry.read is not None}
    sizes = {path: entry.status.st_size for path, entry in files.items() if entry.status}

    def content(path: str) -> str:
        label, status = state.labels.get(path), files[path].status
        if label and status and status.st_ctime < label.time and _size(label) == status.st_size:
            return label.hash
        return content_of(Path(files[path].place))

    return found_again({i: label.hash for i, label in state.labels.items()}, sizes, content)


def _size(label: Label) -> int:
    return int(label.hash.split("-")[0])


def _iso(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="seconds")


def _items(files: Files, own: Own) -> list[Item]:
    """What folders and tables say of every image."""
    tables = tables_of(files)
    if tables:
        return table_items(files, tables)
    nested = {path: reader for path, reader in files.images.items() if "/" in path}
    loose = [Item(path, "") for path in files.images if path not in nested]
    if not nested:
        return loose
    if are_classes(nested, own):
        return [*loose, *class_items(replace(files, images=nested))]
    tops = {path.split("/")[0] for path in nested}
    logging.getLogger("lll").warning(
        "%s: its folders (%s) are taken for albums, because no class is called as one of them: "
        "if they are classes, label an image with the name of one",
        files.where,
        listed(sorted(tops), 3),
    )
    splits = splits_of(tops)
    return [*loose, *(Item(path, "", splits.get(path.split("/")[0], "")) for path in nested)]


def are_classes(nested: Collection[str], own: Own) -> bool:
    """Whether the folders of the images ``nested`` are classes, and not albums, say."""
    folders = {path: path.split("/")[:-1] for path in nested}
    if any(name in own.names for parts in folders.values() for name in parts):
        return True
    return not any(
        path in own.labels and not is_unlabelled_folder(parts[-1])
        for path, parts in folders.items()
    )


def _agreed(items: Sequence[Item], own: Own, where: str) -> list[Item]:
    """``items`` with the labels of the store; UserError where they have another one."""
    for item in items:
        mine = own.labels.get(item.path)
        if mine and item.label and mine != item.label:
            origin = own.givers[item.path].origin
            raise UserError(
                f"{where}: {item.path} is labelled {mine!r} ({origin}), and its folder or table"
                f" says {item.label!r}: correct one of them"
            )
    return [replace(item, label=own.labels.get(item.path, item.label)) for item in items]


def _decoded(name: str, files: Files, options: Options) -> DataSet:
    """All images of ``files``, without labels, as training images."""
    images, kept, skipped = options.decoded(files.images.items(), len(files.images))
    ids = id_array(list(compress(files.images, kept)), files.where)
    every = ImageSet(images, np.full(len(ids), UNLABELLED, np.int64), ids)
    return DataSet(name, (), every, every.take(np.zeros(len(ids), bool)), skipped)


def _labelled(data: DataSet, items: Iterable[Item], own: Own, options: Options) -> DataSet:
    of = {item.path: item for item in items}
    ids = data.train.ids
    labels = [of[path].label for path in ids.tolist()]
    names = check_class_names(sorted({*labels, *own.names} - {""}), data.name)
    index = {"": UNLABELLED} | {name: at for at, name in enumerate(names)}
    indices = np.array([index[label] for label in labels], dtype=np.int64)
    splits = np.array([of[path].split for path in ids.tolist()], dtype="<U10")
    mine = np.isin(ids, list(own.labels))
    if not (splits == "test").any():
        splits[_test(ids, np.where(mine, UNLABELLED, indices), splits, options.test_share)] = "test"
    whole = assemble(
        data.name,
        names,
        data.train.images,
        indices,
        ids,
        splits,
        test_share=0.0,
        skipped=data.skipped,
    )
    gone = (Unused(GONE, len(own.gone), own.gone[0]),) if own.gone else ()
    return replace(whole, givers=own.givers, unused=gone, seq=own.seq)


def _test(
    ids: NDArray[np.str_], labels: NDArray[np.int64], splits: NDArray[np.str_], share: float
) -> NDArray[np.bool_]:
    """Mask [n] of the images set aside for test, of those whose label is not of the store."""
    from lll.labels.splits import set_aside  # imports torch by way of the seeds

    return set_aside(ids, np.where(splits == "validation", UNLABELLED, labels), share, 0, "test")
