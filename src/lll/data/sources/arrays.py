"""NumPy arrays in memory, or in a file that NumPy has mapped."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from lll.data.assemble import (
    Options,
    assemble,
    check_class_names,
    check_labels,
    encode,
    encode_numbers,
    joined,
    row_ids,
)
from lll.data.imageset import DataSet
from lll.data.paths import as_text
from lll.data.rows import Rows
from lll.data.shaping import resize_all
from lll.errors import UserError
from lll.labels.events import UNLABELLED
from lll.labels.missing import is_missing, labels_of, signed

CHUNK_BYTES = 16 * 2**20  # of the given pixels that are converted at a time


def from_arrays(
    images: ArrayLike | Rows,
    labels: ArrayLike,
    *,
    images_validation: ArrayLike | Rows | None = None,
    labels_validation: ArrayLike | None = None,
    images_test: ArrayLike | Rows | None = None,
    labels_test: ArrayLike | None = None,
    class_names: Sequence[str] | None = None,
    ids: Sequence[str] | NDArray[np.str_] | None = None,
    ids_validation: Sequence[str] | NDArray[np.str_] | None = None,
    ids_test: Sequence[str] | NDArray[np.str_] | None = None,
    name: str = "arrays",
    image_size: int = 32,
    test_share: float = 0.2,
    resize: str = "squash",
) -> DataSet:
    """A DataSet from arrays in memory, or in a file that NumPy has mapped.

    ``images`` [n, h, w], [n, h, w, 1] or [n, h, w, 3], uint8 or float in [0, 1]; other sizes
    are resized to ``image_size`` as `lll.data.load_data` does. ``labels`` [n]: integers with -1
    for unlabelled, or strings with "" (or None) for unlabelled. Integers are indices into
    ``class_names``; without them each integer that occurs is a class, named by its value, in order.
    Strings must be among ``class_names``, or are sorted without. Without test arrays
    ``test_share`` of each class is set aside by id; without validation arrays a run sets aside
    some of its own. ``ids`` default to ``train/00000`` ..., ``test/00000`` ... and so on.

    Arrays in memory are copied. A ``numpy.memmap`` (``numpy.load(path, mmap_mode="r")``) of
    uint8 RGB in ``image_size`` stays in its file and is read batch by batch, so it may be
    larger than memory and must not change; any other is converted into memory.

    Raises UserError naming the array and the value that cannot be used.
    """
    options = Options(image_size, test_share, resize=resize)
    known = None if class_names is None else check_class_names(class_names, "class_names")
    given = {
        "train": (images, labels, ids),
        "validation": (images_validation, labels_validation, ids_validation),
        "test": (images_test, labels_test, ids_test),
    }
    parts = [
        _part(split, pixels, marks, names, options, known)
        for split, (pixels, marks, names) in given.items()
        if pixels is not None or marks is not None
    ]
    splits = np.repeat([p[3] for p in parts], [len(p[1]) for p in parts])
    if len({p[1].dtype.kind for p in parts}) > 1:
        raise UserError(f"{name}: labels and labels_test must both be strings, or both integers")
    names, indices = _encode(np.concatenate([p[1] for p in parts]), known)
    return assemble(
        name,
        names,
        joined([p[0] for p in parts]),
        indices,
        np.concatenate([p[2] for p in parts]),
        splits,
        test_share=options.test_share,
    )


def _part(
    split: str,
    images: ArrayLike | Rows | None,
    labels: ArrayLike | None,
    ids: Sequence[str] | NDArray[np.str_] | None,
    options: Options,
    class_names: Sequence[str] | None,
) -> tuple[NDArray[np.uint8] | Rows, NDArray[Any], NDArray[np.str_], str]:
    """Checked images [n, size, size, 3], labels [n] (int64 or str) and ids [n] of one split."""
    suffix = "" if split == "train" else f"_{split}"
    if images is None or labels is None:
        there, missing = ("labels", "images") if images is None else ("images", "labels")
        raise UserError(f"{there}{suffix} is given without {missing}{suffix}: give both or neither")
    pixels = _pixels(images, "images" + suffix, options)
    given = np.asarray(labels)
    names = row_ids(split, len(pixels)) if ids is None else np.asarray(ids)
    for array, what in ((given, "labels"), (names, "ids")):
        if array.shape != (len(pixels),):
            raise UserError(
                f"{what}{suffix} has shape {list(array.shape)} for {len(pixels)} images:"
                f" give one of {what} per image"
            )
    marks = _labels(given, "labels" + suffix, class_names)
    texts = [as_text(name) for name in names.astype(np.str_).tolist()]
    return pixels, marks, np.array(texts, dtype=np.str_), split


def _pixels(images: ArrayLike | Rows, what: str, options: Options) -> NDArray[np.uint8] | Rows:
    """Any accepted images as uint8 [n, size, size, 3]; as they are where nothing is to be done."""
    array: NDArray[Any] | Rows = (
        images if isinstance(images, np.memmap | Rows) else np.asarray(images)
    )
    _check_pixels(array, what)
    size = options.image_size
    if array.dtype == np.uint8 and array.shape[1:] == (size, size, 3):
        return Rows.of(array) if isinstance(array, np.memmap) else array
    out = np.empty((len(array), size, size, 3), dtype=np.uint8)
    rows = max(1, CHUNK_BYTES * len(array) // array.nbytes)
    for start in range(0, len(array), rows):
        chunk = array[start : start + rows]
        if chunk.dtype.kind == "f":
            chunk = _from_float(chunk, what, start)
        chunk = chunk.reshape(*chunk.shape[:3], -1)
        if chunk.shape[3] == 1:
            chunk = np.repeat(chunk, 3, axis=3)
        out[start : start + rows] = resize_all(chunk, size, options.resize)
    return out


def _check_pixels(array: NDArray[Any] | Rows, what: str) -> None:
    shape = list(array.shape)
    if array.ndim != 3 and (array.ndim != 4 or shape[3] not in (1, 3)):
        hint = "transpose(0, 2, 3, 1)" if array.ndim == 4 and shape[1] in (1, 3) else "reshape"
        raise UserError(f"{what} has shape {shape}: {hint} it to [n, h, w] or [n, h, w, 3]")
    if 0 in shape:
        raise UserError(f"{what} has shape {shape}: give at least one image")
    if array.dtype.kind != "f" and array.dtype != np.uint8:
        raise UserError(f"{what} is {array.dtype}: give uint8, or float in [0, 1]")


def _from_float(array: NDArray[Any], what: str, start: int) -> NDArray[np.uint8]:
    """``array``, whose first image is number ``start``, as uint8."""
    inside = (array >= 0) & (array <= 1)  # false for NaN too
    if not inside.all():
        first = np.unravel_index(int(inside.argmin()), array.shape)
        raise UserError(
            f"{what} holds {array[first]} in image {start + first[0]}: floats must lie in [0, 1];"
            " divide by 255 or give uint8"
        )
    pixels: NDArray[np.uint8] = np.rint(array * 255).astype(np.uint8)
    return pixels


def _labels(array: NDArray[Any], what: str, names: Sequence[str] | None) -> NDArray[Any]:
    """Labels as int64 with -1, or as str with ""; anything else is a UserError."""
    if array.dtype.kind == "O":
        array = _plain(array, what)
    if array.dtype.kind == "U":
        texts = labels_of(array.ravel().tolist(), what, names or ())
        return np.array(texts, dtype=np.str_).reshape(array.shape)
    if array.dtype.kind == "f":
        array = np.where(np.isnan(array), UNLABELLED, array)
        whole = np.isfinite(array) & (array == np.rint(array))
        if not whole.all():
            raise UserError(
                f"{what} holds {array[~whole][0]}: labels are whole numbers, -1 for unlabelled"
            )
        array = array.astype(np.int64)
    elif array.dtype.kind not in "iu":
        raise UserError(f"{what} is {array.dtype}: give integers or strings")
    return signed(array, what, None if names is None else len(names))


def _plain(array: NDArray[Any], what: str) -> NDArray[Any]:
    """An array of objects as one of strings or of numbers."""
    values = [None if is_missing(value) else value for value in array.ravel()]
    given = [value for value in values if value is not None]
    text = all(isinstance(value, str) for value in given)
    odd = [v for v in given if isinstance(v, bool) or not isinstance(v, int | float | np.number)]
    if odd and not text:
        number = next((v for v in given if not isinstance(v, str)), odd[0])
        raise UserError(f"{what} holds both strings and numbers ({number!r}): use one of the two")
    missing = "" if text else UNLABELLED
    return np.array([missing if v is None else v for v in values]).reshape(array.shape)


def _encode(
    labels: NDArray[Any], class_names: tuple[str, ...] | None
) -> tuple[tuple[str, ...], NDArray[np.int64]]:
    if labels.dtype.kind != "U":
        if class_names is None:
            return encode_numbers(labels, "labels")
        check_labels(labels, len(class_names), "labels")
        return class_names, labels
    if class_names is None:
        return encode(labels.tolist())
    index = {"": UNLABELLED} | {name: i for i, name in enumerate(class_names)}
    unknown = sorted(set(labels.tolist()) - set(index))
    if unknown:
        raise UserError(f"labels holds {unknown[0]!r}, which is not among class_names: add it")
    return class_names, np.array([index[label] for label in labels.tolist()], dtype=np.int64)
