"""Class names as people and programs write them."""

from __future__ import annotations

import unicodedata

FOLDERS_WITHOUT_LABEL = frozenset({"unlabelled", "unlabeled", "-1"})


def class_name(text: str) -> str:
    """``text`` without spaces around it and with accents composed (NFC).

    So names that look equal are equal, whichever system wrote them.
    """
    return unicodedata.normalize("NFC", text.strip())


def is_unlabelled_folder(name: str) -> bool:
    """Whether a folder among class folders holds images without a class."""
    return name.casefold() in FOLDERS_WITHOUT_LABEL
