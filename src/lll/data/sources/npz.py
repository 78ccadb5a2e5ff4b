"""NumPy arrays in an ``.npz``."""

from __future__ import annotations

import sys
import zipfile
from collections.abc import Collection
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lll.data.assemble import Options
from lll.data.budgets import MAX_NPZ_BYTES, check_unpacked
from lll.data.imageset import DataSet, Unused
from lll.data.paths import as_text
from lll.data.sources.arrays import from_arrays
from lll.errors import UserError, out_of_memory
from lll.words import listed

# The names under which an .npz may hold each array, best first.
KEYS = {
    "images": ("images", "x", "x_train"),
    "labels": ("labels", "y", "y_train"),
    "images_validation": ("images_validation", "images_val", "x_validation", "x_valid", "x_val"),
    "labels_validation": ("labels_validation", "labels_val", "y_validation", "y_valid", "y_val"),
    "images_test": ("images_test", "x_test"),
    "labels_test": ("labels_test", "y_test"),
    "class_names": ("class_names",),
    "ids": ("ids",),
    "ids_validation": ("ids_validation", "ids_val"),
    "ids_test": ("ids_test",),
}
REMEDY = "save the images with numpy.save and give lll.data.from_arrays a memory map of them"


def load_npz(path: Path, options: Options) -> DataSet:
    """A DataSet from an ``.npz`` with the keys in ``KEYS``; pickled objects are refused."""
    arrays = _read_npz(path)
    found = {role: next((k for k in keys if k in arrays), None) for role, keys in KEYS.items()}
    for role in ("images", "labels"):
        if found[role] is None:
            raise UserError(
                f"{path} has no array {' or '.join(KEYS[role])}"
                f" (it has {listed(arrays, 12) or 'none'}): rename one"
            )
    given: dict[str, Any] = {role: arrays[key] for role, key in found.items() if key}
    for role, array in given.items():
        _check_array(path, role, array, options)
    try:
        data = from_arrays(
            **given,
            name=as_text(path.stem),
            image_size=options.image_size,
            test_share=options.test_share,
            resize=options.resize,
        )
    except UserError as error:
        raise UserError(f"{path}: {error}") from error
    left = [key for key in arrays if key not in found.values()]
    unused = Unused("an array of a name that is not known", len(left), "".join(left[:1]))
    return data.with_unused((unused,) if left else ())


def _read_npz(path: Path) -> dict[str, NDArray[Any]]:
    try:
        # Opened here, because numpy leaves the file open when it finds it damaged.
        with path.open("rb") as file:
            archive = np.load(file, allow_pickle=False)
            if not isinstance(archive, np.lib.npyio.NpzFile):
                raise UserError(
                    f"{path} contains one array without a name: save it with numpy.savez"
                )
            wanted = {key for keys in KEYS.values() for key in keys}
            _check_bytes(path, wanted)
            return {key: archive[key] if key in wanted else np.empty(0) for key in archive.files}
    except UserError:
        raise
    # A damaged file makes numpy and zipfile raise nearly anything.
    except Exception as error:
        if "allow_pickle" in str(error) and zipfile.is_zipfile(path):
            raise UserError(
                f"{path} holds pickled Python objects: save arrays of numbers or of strings"
            ) from error
        reason = "too little memory" if out_of_memory(error) else type(error).__name__
        raise UserError(
            f"{path} is not a readable .npz ({reason}): save it with numpy.savez"
        ) from error


def _check_bytes(path: Path, keys: Collection[str]) -> None:
    with zipfile.ZipFile(path) as archive:
        members = [m for m in archive.infolist() if m.filename.removesuffix(".npy") in keys]
    packed = min(sum(m.compress_size for m in members), path.stat().st_size)
    check_unpacked(sum(m.file_size for m in members), packed, MAX_NPZ_BYTES, path, REMEDY)


def _check_array(path: Path, role: str, array: Any, options: Options) -> None:
    """UserError for what only a file can hold."""
    if not isinstance(array, np.ndarray):  # NumPy gives the bytes of what it does not know
        raise UserError(f"{path}: {role} is not an array: save it with numpy.savez")
    if array.dtype.kind == "U" and array.size * array.itemsize:
        codes = np.ascontiguousarray(array).reshape(-1).view(f"{array.dtype.byteorder}u4")
        if codes.max() > sys.maxunicode:
            raise UserError(f"{path}: {role} contains an invalid character: save it again")
    if role == "class_names" and (array.ndim != 1 or array.dtype.kind not in "Uiu"):
        raise UserError(
            f"{path}: class_names is {array.dtype} of shape {list(array.shape)}: give one string"
            " for each class"
        )
    if role.startswith("images") and array.ndim:
        decoded = 3 * options.image_size**2 * len(array)
        check_unpacked(decoded, decoded, MAX_NPZ_BYTES, path, REMEDY)
