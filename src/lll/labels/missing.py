"""What means that an image has no label, as NumPy, pandas, spreadsheets and people write it."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lll.errors import UserError
from lll.labels.events import UNLABELLED
from lll.labels.names import class_name, is_unlabelled_folder

NO_LABEL = frozenset({"", "-1", "-1.0", "nan", "NaN", "<NA>", "#N/A"})
# These may be that too, or a class: "none" for no defect, "NA" for a country.
AMBIGUOUS = frozenset({"none", "nan", "na", "n/a", "null"})


def labels_of(texts: Sequence[str], where: str, declared: Collection[str] = ()) -> list[str]:
    """The class name that each of ``texts`` stands for, "" for unlabelled.

    Names that are ``declared`` to be classes are classes. Raises UserError, which names
    ``where``, for another text that may mean a class or no label.
    """
    names: dict[str, str] = {}
    for text in texts:
        if text not in names:
            names[text] = _label(text, where, declared)
    return [names[text] for text in texts]


def _label(text: str, where: str, declared: Collection[str]) -> str:
    name = class_name(text)
    if name in declared:
        return name
    if name in NO_LABEL or is_unlabelled_folder(name):
        return ""
    if name.casefold() in AMBIGUOUS:
        raise UserError(
            f"{where}: label {text!r} may be a class or mean that there is no label: leave it"
            " empty for unlabelled, or give the class another name"
        )
    return name


def is_missing(value: object) -> bool:
    """Whether ``value``, of an array of objects, is None, NaN, NA, NaT or -1."""
    if isinstance(value, float | int | np.number):
        return bool(value != value or value == UNLABELLED)
    return value is None or type(value).__name__ in ("NAType", "NaTType")


def signed(labels: NDArray[Any], where: str, classes: int | None = None) -> NDArray[np.int64]:
    """Integer ``labels`` [n] as int64; the largest of an unsigned type is a -1 written into it.

    ``classes`` is their number where it is known. Raises UserError, which names ``where``, if
    that label may be a class too.
    """
    if labels.dtype.kind != "u":
        return labels.astype(np.int64)
    top = np.iinfo(labels.dtype).max
    last = labels == top
    largest = labels[~last].max(initial=0)
    if largest > np.iinfo(np.int64).max:
        raise UserError(f"{where}: label {largest} is too large: number the classes from 0")
    others = np.unique(labels[~last])
    all_below = len(others) == top or (classes is not None and classes > top)
    if not last.any() or all_below:
        return labels.astype(np.int64)
    counted = len(others) > 1 and others[-1] == len(others) - 1
    if classes is None and not counted:
        raise UserError(
            f"{where}: label {top}, the largest that {labels.dtype} holds, may be a class or mean"
            " -1, unlabelled: give signed integers, or names"
        )
    return np.where(last, UNLABELLED, labels.astype(np.int64))
