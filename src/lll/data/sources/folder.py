"""A folder with one sub-folder per class, with or without folders of splits above them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from lll.data.assemble import Options
from lll.data.files import Files, Item, load_items, wrapper_in
from lll.data.imageset import DataSet
from lll.data.layout import splits_of
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
    images = _by_folder(files, 1)
    return [item for top in tops for item in _class_items(files.where, top, images)]


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
    by_top = _by_folder(files, 1)
    inside = {top: _class_folders(files, top) for top in splits}
    items: list[Item] = []
    for top in tops:
        if top in splits:
            items += _items_of_split(files, _unwrapped(files, top, inside), splits[top])
        elif is_unlabelled_folder(top):
            items += _class_items(files.where, top, by_top, "train")
    trained = {""} | {item.label for item in items if item.split == "train"}
    for item in items:
        if item.label not in trained:
            raise UserError(
                f"{files.where}: class {item.label!r} is in {item.split} and not in train:"
                " add training images of it or correct the folder's name"
            )
    return items


def _class_folders(files: Files, folder: str) -> list[str]:
    """The sub-folders of ``folder``, by path."""
    depth = folder.count("/") + 1
    return sorted(f for f in files.folders if f.startswith(folder + "/") and f.count("/") == depth)


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
    _refuse_loose_images(files, folder + "/")
    classes = _class_folders(files, folder)
    if not classes:
        raise UserError(f"{files.where}/{folder} has no sub-folder: make one per class in it")
    images = _by_folder(files, folder.count("/") + 2)
    return [item for f in classes for item in _class_items(files.where, f, images, split)]


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


def _refuse_loose_images(files: Files, prefix: str) -> None:
    depth = prefix.count("/")
    loose = [p for p in files.images if p.startswith(prefix) and p.count("/") == depth]
    if loose:
        raise UserError(
            f"{files.where}: {loose[0]} ({len(loose)} in all) is in no class folder: move it into"
            " one or into 'unlabelled', or add a CSV of labels"
        )
