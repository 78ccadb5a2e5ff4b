"""A folder with one sub-folder per class, with or without ``train`` and ``test`` above them."""

from __future__ import annotations

from lll.data.assemble import SPLITS, Options
from lll.data.files import Files, Item, load_items
from lll.data.imageset import DataSet
from lll.errors import UserError

UNLABELLED_FOLDERS = frozenset({"unlabelled", "unlabeled"})


def load_classes(name: str, files: Files, options: Options) -> DataSet:
    """A DataSet whose class names are the sub-folders', sorted.

    A sub-folder ``unlabelled`` (or ``unlabeled``, any case) holds unlabelled images. Where
    all sub-folders are called ``train``, ``test``, ``validation`` or ``unlabelled`` and the
    first is among them, they are the splits and hold the class folders.

    Raises UserError for a class with no image, for images beside the class folders, and
    for a test class that has no training folder.
    """
    _refuse_loose_images(files, "")
    tops = sorted(folder for folder in files.folders if "/" not in folder)
    if not tops:
        raise UserError(
            f"{files.where} has no sub-folder: make one per class, or add a CSV of labels"
        )
    splits = {top.lower() for top in tops} - UNLABELLED_FOLDERS
    if "train" in (SPLITS.get(split) for split in splits) and splits <= set(SPLITS):
        items = _split_items(files, tops)
    else:
        images = _by_folder(files, 1)
        items = [item for top in tops for item in _class_items(files.where, top, images)]
    return load_items(name, files, items, options)


def _split_items(files: Files, tops: list[str]) -> list[Item]:
    in_tops, in_classes = _by_folder(files, 1), _by_folder(files, 2)
    items: list[Item] = []
    for top in tops:
        if top.lower() in UNLABELLED_FOLDERS:
            items += _class_items(files.where, top, in_tops, "train")
            continue
        _refuse_loose_images(files, top + "/")
        classes = [f for f in files.folders if f.startswith(top + "/") and f.count("/") == 1]
        if not classes:
            raise UserError(f"{files.where}/{top} has no sub-folder: make one per class in it")
        for folder in sorted(classes):
            items += _class_items(files.where, folder, in_classes, SPLITS[top.lower()])
    trained = {""} | {item.label for item in items if item.split == "train"}
    for item in items:
        if item.label not in trained:
            raise UserError(
                f"{files.where}: class {item.label!r} is in {item.split} and not in train:"
                " add training images of it or correct the folder's name"
            )
    return items


def _by_folder(files: Files, depth: int) -> dict[str, list[str]]:
    """Images by the first ``depth`` folders of their path."""
    groups: dict[str, list[str]] = {}
    for path in files.images:
        groups.setdefault("/".join(path.split("/")[:depth]), []).append(path)
    return groups


def _class_items(
    where: str, folder: str, images: dict[str, list[str]], split: str = ""
) -> list[Item]:
    label = folder.rsplit("/", 1)[-1]
    if label.lower() in UNLABELLED_FOLDERS:
        label = ""
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
