"""Labels as scikit-learn hands them over: any discrete values, some of them unknown."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.utils import assert_all_finite, column_or_1d
from sklearn.utils.multiclass import check_classification_targets

from lll.errors import UserError
from lll.labels.events import UNLABELLED
from lll.labels.missing import is_missing, labels_of, signed

Labels = NDArray[Any]


def split_labels(y: ArrayLike) -> tuple[Labels, NDArray[np.bool_]]:
    """The known labels [l] of ``y`` [n], and the mask [n] of the images that have one.

    Unknown is -1 among numbers, and among strings and objects what `lll.labels.missing` says.
    Raises ValueError for labels that are continuous, of mixed kinds, NaN, not one per image, or
    that may mean a class or no label.
    """
    labels = column_or_1d(y, warn=True)
    kind = labels.dtype.kind
    if kind == "O":
        known = np.array([not is_missing(label) for label in labels], dtype=bool)
        plain = _plain(labels[known])
        named = _are_names(plain)
        known[known] = named
        return plain[named], known
    if kind == "U":
        known = _are_names(labels)
    elif kind == "S":
        known = np.asarray(labels != b"")
    else:
        assert_all_finite(labels, input_name="y")
        labels = signed(labels, "y") if kind == "u" else labels
        known = np.asarray(labels != UNLABELLED)
    if kind == "f":
        check_classification_targets(labels[known])
    return labels[known], known


def _are_names(labels: Labels) -> NDArray[np.bool_]:
    """Which of ``labels`` [n] name a class: all but the strings that mean that there is none."""
    if labels.dtype.kind != "U":
        return np.ones(len(labels), dtype=bool)
    return np.array([name != "" for name in labels_of(labels.tolist(), "y")], dtype=bool)


def _plain(labels: Labels) -> Labels:
    """Objects as an array of strings, or of integers."""
    for kind in (str, (bool, int, np.integer, np.bool_)):
        if all(isinstance(label, kind) for label in labels):
            return np.array(labels.tolist())
    shown = next((v for v in labels if not isinstance(v, str)), labels[0])
    raise UserError(f"Unknown label type: {shown!r} in y: give strings, or whole numbers")


def grown_classes(old: Labels | None, announced: ArrayLike | None, seen: Labels) -> Labels:
    """``old`` classes, then the new ones among ``announced`` and ``seen``, sorted.

    Raises UserError if ``announced`` is given and ``seen`` has a class that is neither there
    nor old, and for classes of another kind than the old ones.

    >>> grown_classes(np.array([3, 5]), None, np.array([4, 3, 1])).tolist()
    [3, 5, 1, 4]
    """
    new = np.unique(seen)
    if announced is not None:
        listed, _ = split_labels(announced)
        _check_same_kind(listed, new)
        both = listed if old is None else _joined(old, listed)
        strange = new[~np.isin(new, both)]
        if len(strange):
            raise UserError(f"y has class {strange[0]!r}, which is not among classes: add it")
        new = np.unique(_joined(listed, new))
    if old is None or not len(old):
        return new
    _check_same_kind(old, new)
    return _joined(old, new[~np.isin(new, old)])


def _joined(first: Labels, second: Labels) -> Labels:
    """Both, in the type of the other where one is empty."""
    if not len(first) or not len(second):
        return first if len(first) else second
    return np.concatenate([first, second])


def _check_same_kind(first: Labels, second: Labels) -> None:
    if len(first) and len(second) and (first.dtype.kind in "US") != (second.dtype.kind in "US"):
        raise UserError(
            f"classes {first[0]!r} and {second[0]!r} are of different kinds: "
            "give all as strings or all as numbers"
        )


def indices(labels: Labels, known: NDArray[np.bool_], classes: Labels) -> NDArray[np.int64]:
    """The position in ``classes`` of each known label, -1 elsewhere: [n]."""
    order = np.argsort(classes, kind="stable")
    out = np.full(len(known), UNLABELLED, dtype=np.int64)
    out[known] = order[np.searchsorted(classes, labels, sorter=order)]
    return out
