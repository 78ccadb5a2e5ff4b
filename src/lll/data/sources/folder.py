"""A folder with one sub-folder per class, with or without folders of splits above them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from lll.data.assemble import Options
from lll.data.files import Files, Item, load_items, wrapper_in
from lll.data.imageset import DataSet
from lll.data.layout import is_part, splits_of
from lll.errors import UserError
from lll.labels.names import class_name, is_unlabelled_folder
from lll.words import listed

LAYOUT = "train/CLASS/1.jpg and test/CLASS/1.jpg (also val/ and unlabelled/)"


def load_classes(name: str, files: Files, options: Options) -> DataSet:
    """A DataSet whose class names are the sub-folders', sorted; see `class_items`."""
    return load_items(name, files, class_items(files), options)


def class_items(files: Files) -> list[Item]:
    """Every image with the class, and the split, that its folders say.

    A sub-folder ``unlabelled`` (or ``unlabeled``, any case) holds unlabelled images. Where
    the sub-folders are named like splits, as in ``train`` and ``test_set``, they hold the class
    folders, which one more folder may wrap.

    Raises UserError for a class with no image, for images beside the class folders, for
    splits beside other folders or without training images, and for a class that has no
    training folder.
    """
    _refuse_loose_images(files, "")
    tops = sorted(folder for folder in files.folders if "/" not in folder)
    if not tops:
        raise UserError(
            f"{files.where} has no sub-folder: make one per class, or add a CSV of labels"
        )
    splits = _splits(files, tops)
    if splits:
        return _split_items(files, tops, splits)
    return _items_of(files, "")


def _splits(files: Files, tops: Sequence[str]) -> Mapping[str, str]:
    """The folders at the top that are splits, and which; none where all are classes."""
    images = _by_folder(files, 1)
    splits = splits_of(tops)
    others = [t for t in tops if t in images and t not in splits and not is_unlabelled_folder(t)]
    flat = {path.split("/")[0] for path in files.images if path.count("/") == 1}
    # A class may be called "train", but it holds images, and no other class is called "test".
    if not splits or (others and set(splits) <= flat and len(set(splits.values())) == 1):
        return {}
    if others:
        raise UserError(
            f"{files.where} holds splits ({listed(splits, 4)}) beside other folders"
            f" ({listed(others, 4)}): use {LAYOUT}, or one folder per class and no splits; if a"
            " class is named like a split, rename it"
        )
    if "train" not in splits.values():
        raise UserError(
            f"{files.where} holds splits ({listed(splits, 4)}) and no training images: use"
            f" {LAYOUT}; if a class is named like a split, rename it"
        )
    return splits


def _split_items(files: Files, tops: Sequence[str], splits: Mapping[str, str]) -> list[Item]:
    images, inside = _by_folder(files, 1), _sub_folders(files)
    below = {top: inside.get(top, []) for top in splits}
    items: list[Item] = []
    for top in tops:
        if top in splits:
            items += _items_of_split(files, _unwrapped(files, top, below), splits[top])
        elif is_unlabelled_folder(top):
            items += _class_items(files.where, top, images, "train")
    trained = {""} | {item.label for item in items if item.split == "train"}
    for item in items:
        if item.label not in trained:
            raise UserError(
                f"{files.where}: class {item.label!r} is in {item.split} and not in train:"
                " add training images of it or correct the folder's name"
            )
    return items


def _sub_folders(files: Files) -> dict[str, list[str]]:
    """The sub-folders of each folder ("" for the top), by path."""
    inside: dict[str, list[str]] = {}
    for folder in sorted(files.folders):
        inside.setdefault(folder.rpartition("/")[0], []).append(folder)
    return inside


def _class_folders(files: Files, folder: str) -> list[str]:
    """The class folders of ``folder``: its sub-folders, or those inside them if they are parts.

    Raises UserError where all sub-folders hold folders of the same names: nobody can tell which
    are the classes.
    """
    inside = _sub_folders(files)
    subs = inside.get(folder, [])
    named = [sub for sub in subs if not is_unlabelled_folder(_name(sub))]
    holding = {path.rpartition("/")[0] for path in files.images}
    if len(named) < 2 or any(sub in holding or sub not in inside for sub in named):
        return subs
    if all(is_part(_name(sub)) for sub in named):
        return [f for sub in subs for f in (inside[sub] if sub in named else [sub])]
    below = {tuple(map(_name, inside[sub])) for sub in named}
    if len(below) == 1 and len(names := below.pop()) > 1:
        raise UserError(
            f"{files.where}: folders {listed(list(map(_name, named)), 4)} all hold the folders"
            f" {listed(names, 4)}, so either may be the classes: leave one level, as in"
            " CLASS/1.jpg, or add a CSV of labels"
        )
    return subs


def _name(folder: str) -> str:
    return folder.rpartition("/")[2]


def _unwrapped(files: Files, top: str, inside: Mapping[str, Sequence[str]]) -> str:
    """``top``, or the one folder in it that is no class but holds the class folders."""
    elsewhere = {
        folder.rsplit("/", 1)[1]
        for other, folders in inside.items()
        if other != top and len(folders) > 1
        for folder in folders
    }
    folder = top
    while (name := wrapper_in(files, folder + "/")) and name not in elsewhere:
        folder += "/" + name
    return folder


def _items_of_split(files: Files, folder: str, split: str) -> list[Item]:
    _refuse_loose_images(files, folder)
    if not any(f.startswith(folder + "/") for f in files.folders):
        raise UserError(f"{files.where}/{folder} has no sub-folder: make one per class in it")
    return _items_of(files, folder, split)


def _items_of(files: Files, folder: str, split: str = "") -> list[Item]:
    """The images in the class folders of ``folder`` ("" for the top)."""
    classes = _class_folders(files, folder)
    images = {depth: _by_folder(files, depth) for depth in {f.count("/") + 1 for f in classes}}
    return [
        item
        for f in classes
        for item in _class_items(files.where, f, images[f.count("/") + 1], split)
    ]


def _by_folder(files: Files, depth: int) -> dict[str, list[str]]:
    """Images by the first ``depth`` folders of their path."""
    groups: dict[str, list[str]] = {}
    for path in files.images:
        groups.setdefault("/".join(path.split("/")[:depth]), []).append(path)
    return groups


def _class_items(
    where: str, folder: str, images: dict[str, list[str]], split: str = ""
) -> list[Item]:
    name = folder.rsplit("/", 1)[-1]
    label = "" if is_unlabelled_folder(name) else class_name(name)
    paths = images.get(folder, [])
    if label and not paths:
        raise UserError(f"{where}/{folder} is a class with no image: add images or remove it")
    return [Item(path, label, split) for path in paths]


def _refuse_loose_images(files: Files, folder: str) -> None:
    loose = [path for path in files.images if path.rpartition("/")[0] == folder]
    if loose:
        raise UserError(
            f"{files.where}: {loose[0]} ({len(loose)} in all) is in no class folder: move it into"
            " one or into 'unlabelled', or add a CSV of labels"
        )
