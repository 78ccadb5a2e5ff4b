"""Class names as people and programs write them, and the words that mean no label."""

from __future__ import annotations

import unicodedata
from collections.abc import Collection, Sequence

from lll.errors import UserError

# What NumPy, pandas and spreadsheets write for a label that is not there.
NO_LABEL = frozenset({"", "-1", "-1.0", "nan", "NaN", "<NA>", "#N/A", "#NA"})
FOLDERS_WITHOUT_LABEL = frozenset({"unlabelled", "unlabeled", "-1"})
# These may be that too, or a class: "none" for no defect, "NA" for a country.
AMBIGUOUS = frozenset({"none", "nan", "na", "n/a", "null"})


def class_name(text: str) -> str:
    """``text`` with every accent composed (NFC): names that look equal are equal."""
    return unicodedata.normalize("NFC", text)


def is_unlabelled_folder(name: str) -> bool:
    """Whether a folder among class folders holds images without a class."""
    return name.casefold() in FOLDERS_WITHOUT_LABEL


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
    name = class_name(text.strip())
    if name in declared:
        return name
    if name in NO_LABEL or is_unlabelled_folder(name):
        return ""
    if name.casefold() in AMBIGUOUS:
        raise UserError(
            f"{where}: label {text!r} may be a class or mean that there is none: write nothing"
            " for unlabelled, or give the class another name"
        )
    return name
