"""From rows to a DataSet: class names, the test share, and the checks every source needs."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from lll.data.budgets import MAX_ID_BYTES
from lll.data.decoding import Known, OnDecoded, Reader, decode_into
from lll.data.imageset import DataSet, ImageSet, Skipped
from lll.data.paths import as_text
from lll.data.pixels import Pixels
from lll.data.rows import Rows
from lll.errors import UserError, nearest
from lll.labels.events import UNLABELLED
from lll.labels.names import class_name

MIN_SIZE, MAX_SIZE = 1, 1024  # image_size, in pixels
RESIZES = ("squash", "crop")  # to all of the image, or to the middle square of it


@dataclass(frozen=True)
class Options:
    """What every source is asked for: pixels per side, test share in [0, 1), strictness.

    ``resize`` is ``squash`` or ``crop`` (`lll.data.decoding.decode`); ``store`` is a file
    to decode into, for sources that decode, instead of memory. ``known`` reads the pixels of
    images that were decoded before, by id; ``on_decoded`` is handed images as they come.
    """

    image_size: int = 32
    test_share: float = 0.2
    strict: bool = False
    resize: str = "squash"
    store: Path | None = None
    known: Mapping[str, Known] = field(default_factory=dict)
    on_decoded: OnDecoded | None = None

    def __post_init__(self) -> None:
        size = self.image_size
        if not MIN_SIZE <= size <= MAX_SIZE:
            raise UserError(f"image_size is {size}: choose {MIN_SIZE} to {MAX_SIZE} pixels")
        if self.resize not in RESIZES:
            raise UserError(f"unknown resize {self.resize!r}: {nearest(self.resize, RESIZES)}")
        if not 0 <= self.test_share < 1:
            raise UserError(f"test_share is {self.test_share}: choose a share from 0 up to below 1")

    def pixels(self) -> Pixels:
        """Where to put images as they are decoded."""
        return Pixels(self.image_size, self.store)

    def decoded(
        self, rows: Iterable[tuple[str, Reader]], count: int
    ) -> tuple[NDArray[np.uint8] | Rows, NDArray[np.bool_], tuple[Skipped, ...]]:
        """Images of the readable ones of ``rows``, a mask [n] of them, and the others.

        ``rows`` [n] and ``count`` are as in `lll.data.decoding.decode_into`.
        """
        pixels = self.pixels()
        kept, skipped = decode_into(
            pixels,
            ((name, self.known.get(name, reader)) for name, reader in rows),
            count,
            self.image_size,
            self.resize,
            strict=self.strict,
            on_decoded=self.on_decoded,
        )
        return pixels.rows(), kept, skipped


def encode(labels: Sequence[str]) -> tuple[tuple[str, ...], NDArray[np.int64]]:
    """Sorted class names and the index int64 [n] of each label; "" becomes -1."""
    names = tuple(sorted(set(labels) - {""}))
    index = {"": UNLABELLED} | {name: i for i, name in enumerate(names)}
    indices = np.array([index[label] for label in labels], dtype=np.int64)
    return tuple(map(as_text, names)), indices


def encode_numbers(
    numbers: NDArray[np.int64], where: str
) -> tuple[tuple[str, ...], NDArray[np.int64]]:
    """Classes named by the integers that occur, in their order; -1 stays unlabelled."""
    values = np.unique(numbers[numbers != UNLABELLED])
    if len(values) and values[0] < UNLABELLED:
        raise UserError(f"{where} has label {values[0]}: the only negative label is -1, unlabelled")
    indices = np.searchsorted(values, numbers).astype(np.int64)
    return tuple(str(v) for v in values), np.where(numbers == UNLABELLED, UNLABELLED, indices)


def check_class_names(names: Iterable[object], where: str) -> tuple[str, ...]:
    """The names as a tuple of distinct, non-empty strings, else UserError naming ``where``."""
    out = tuple(class_name(as_text(str(name))) for name in names)
    if "" in out:
        raise UserError(f"{where}: class name {out.index('')} is empty: give every class a name")
    if len(set(out)) < len(out):
        twice = next(name for name in out if out.count(name) > 1)
        raise UserError(f"{where}: duplicate class name {twice!r}: give each class its own name")
    return out


def check_labels(labels: NDArray[np.int64], classes: int, where: str) -> None:
    """UserError unless every label is -1 or an index into the class names."""
    bad = np.flatnonzero((labels < UNLABELLED) | (labels >= classes))
    if len(bad):
        raise UserError(
            f"{where}: row {bad[0]} has label {labels[bad[0]]}, which is neither -1 (unlabelled)"
            f" nor one of the {classes} classes: correct the label or the class names"
        )


def row_ids(prefix: str, count: int, start: int = 0) -> NDArray[np.str_]:
    """``prefix/00000`` ...: ids [count] for sources whose rows have no name of their own."""
    return np.array([f"{prefix}/{i:05d}" for i in range(start, start + count)], dtype=np.str_)


def id_array(ids: Sequence[str], where: str) -> NDArray[np.str_]:
    """``ids`` [n] as an array, which has room for the longest n times; UserError if too much."""
    longest = max(map(len, ids), default=0)
    if 4 * longest * len(ids) > MAX_ID_BYTES:
        raise UserError(
            f"{where} has {len(ids)} images, one with a path of {longest} characters: shorten it"
        )
    return np.array(ids, dtype=np.str_)


def joined(parts: Sequence[NDArray[np.uint8] | Rows]) -> NDArray[np.uint8] | Rows:
    """Images [n, h, w, 3] one after another; those in a mapped file are not read."""
    if any(isinstance(part, Rows) for part in parts):
        return Rows.of(*parts)
    return np.concatenate(parts)


def assemble(
    name: str,
    class_names: tuple[str, ...],
    images: NDArray[np.uint8] | Rows,
    labels: NDArray[np.int64],
    ids: NDArray[np.str_],
    splits: NDArray[np.str_],
    *,
    test_share: float,
    skipped: tuple[Skipped, ...] = (),
) -> DataSet:
    """A DataSet from rows: images [n, h, w, 3], labels [n], ids [n], splits [n].

    A split is ``train``, ``test``, ``validation`` or "" for not said. Where no image is said
    to be of ``test``, ``test_share`` of each class is, chosen by id once and for all among
    those that are not of ``validation``. Unlabelled images always train.

    Raises UserError for no images, no classes, no training images, or an id that is not unique.
    """
    if len(labels) == 0:
        first = f": {skipped[0].path}: {skipped[0].reason}" if skipped else ""
        raise UserError(f"{name} has no readable image ({len(skipped)} skipped{first})")
    if not class_names:
        raise UserError(f"{name} has no label at all: label at least one image of each class")
    unique, counts = np.unique(ids, return_counts=True)
    if len(unique) < len(ids):
        raise UserError(f"{name}: duplicate id {str(unique[counts.argmax()])!r}: make ids unique")
    validation = (splits == "validation") & (labels != UNLABELLED)
    test = (splits == "test") & (labels != UNLABELLED)
    if not test.any():
        test = _set_aside(labels, ids, ~validation, test_share)
    train = ~test & ~validation
    if not train.any():
        given = " and ".join(s for s in ("test", "validation") if (splits == s).any())
        raise UserError(f"{name} has {given} images only: add training images")
    rows = ImageSet(images, labels, ids)
    return DataSet(
        name,
        class_names,
        rows.take(train),
        rows.take(test),
        skipped,
        validation=rows.take(validation) if validation.any() else None,
    )


def _set_aside(
    labels: NDArray[np.int64], ids: NDArray[np.str_], free: NDArray[np.bool_], share: float
) -> NDArray[np.bool_]:
    from lll.labels.splits import set_aside  # imports torch by way of the seeds

    chosen = np.zeros(len(ids), dtype=bool)
    chosen[free] = set_aside(ids[free], labels[free], share, 0, "test")
    return chosen
