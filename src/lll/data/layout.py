"""What the names of folders and of files say: which split they hold."""

from __future__ import annotations

import re
from collections.abc import Iterable

# Folder names, file-name prefixes and cells that say which split an image is in.
SPLITS = {
    "train": "train",
    "training": "train",
    "trainval": "train",
    "test": "test",
    "testing": "test",
    "validation": "validation",
    "valid": "validation",
    "val": "validation",
    "dev": "validation",
}
# What may stand beside such a word in the name of a folder: training_set, seg_train, TestImages.
_BESIDE = {
    *(
        "set",
        "sets",
        "data",
        "dataset",
        "datasets",
        "split",
        "folder",
        "dir",
        "seg",
        "x",
        "partial",
    ),
    *("image", "images", "img", "imgs", "photos", "pics"),
}
# The name of a folder that holds some of the images of every class.
PART = r"(part|batch|chunk|fold|shard|volume|disk)s?[ _.-]*\d+"


def split_of(name: str) -> str:
    """The split that a folder called ``name`` holds, "" if that is no name of a split.

    >>> split_of("training_set"), split_of("val2017"), split_of("test tube")
    ('train', 'validation', '')
    """
    split, rest = _parted(name)
    return "" if rest else split


def is_part(name: str) -> bool:
    """Whether a folder called ``name`` is a part of the data, and no class.

    >>> is_part("part1"), is_part("batch_02"), is_part("parts of speech")
    (True, True, False)
    """
    return re.fullmatch(PART, name.casefold()) is not None


def splits_of(names: Iterable[str]) -> dict[str, str]:
    """The folders among ``names`` that hold a split, and which.

    Where several splits share further words, these are the name of the data.

    >>> splits_of(["pets_train", "pets_test", "other"])
    {'pets_train': 'train', 'pets_test': 'test'}
    """
    parted = {name: _parted(name) for name in names}
    shared = {
        rest
        for _, rest in parted.values()
        if len({split for split, other in parted.values() if split and other == rest}) > 1
    }
    return {name: s for name, (s, rest) in parted.items() if s and (not rest or rest in shared)}


def _parted(name: str) -> tuple[str, str]:
    """The split that ``name`` speaks of, "" if of none or of several, and its further words."""
    spaced = re.sub("([a-z])([A-Z])", r"\1 \2", name)
    words = re.findall(r"[^\W\d_]+", spaced.casefold())
    splits = {word: SPLITS.get(re.sub("(?<=.)(set|data|images)$", "", word)) for word in words}
    said = set(splits.values()) - {None}
    rest = [word for word in words if not splits[word] and word not in _BESIDE]
    return (said.pop() or "", " ".join(rest)) if len(said) == 1 else ("", name)
