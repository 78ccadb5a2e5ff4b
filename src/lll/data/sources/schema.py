"""Which columns of a Parquet file hold images and labels, by their names and its schema."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lll.data.assemble import check_class_names
from lll.errors import UserError
from lll.words import listed

# Names of columns in small letters, without spaces, '_' and '-', best first.
IMAGE_COLUMNS = ("image", "img", "picture", "photo", "images")
LABEL_COLUMNS = ("label", "labels", "class", "category", "target", "finelabel")


@dataclass(frozen=True)
class Columns:
    """The columns to read, and what the schema says of the labels."""

    image: str
    label: str
    class_names: tuple[str, ...]  # empty where the schema names none
    label_type: Any  # of NumPy


def columns_of(schema: Any, path: Path) -> Columns:
    """The columns of images and of labels; UserError if there are none that can be read."""
    import pyarrow.types as kinds

    features = _features(schema.metadata, path)
    image = _find(schema.names, IMAGE_COLUMNS, _of_type(features, "Image"), path)
    label = _find(schema.names, LABEL_COLUMNS, _of_type(features, "ClassLabel"), path)
    kind = schema.field(image).type
    if kinds.is_struct(kind):
        parts = {kind.field(i).name: kind.field(i).type for i in range(len(kind))}
        kind = parts.get("bytes") or parts.get("path") or kind
    if not (_is_binary(kind) or _is_text(kind)):
        raise UserError(
            f"{path}: column {image!r} is {kind}: it must hold the bytes or paths of image files"
        )
    kind = schema.field(label).type
    if kinds.is_dictionary(kind):
        kind = kind.value_type
    if not (kinds.is_integer(kind) or _is_text(kind)):
        raise UserError(f"{path}: column {label!r} is {kind}: it must hold integers or strings")
    names = check_class_names(_names_of(features, label), str(path))
    return Columns(image, label, names if kinds.is_integer(kind) else (), kind.to_pandas_dtype())


def _is_binary(kind: Any) -> bool:
    import pyarrow.types as kinds

    return bool(kinds.is_binary(kind) or kinds.is_large_binary(kind))


def _is_text(kind: Any) -> bool:
    import pyarrow.types as kinds

    return bool(kinds.is_string(kind) or kinds.is_large_string(kind))


def _find(present: Sequence[str], wanted: Sequence[str], typed: Sequence[str], path: Path) -> str:
    """The best of the ``wanted`` columns, else the only one that the schema says is of the kind."""
    names = {re.sub(r"[\s_-]", "", name.casefold()): name for name in reversed(present)}
    found = [names[name] for name in wanted if name in names]
    found += [name for name in typed if name in present and len(typed) == 1]
    if not found:
        raise UserError(
            f"{path} has no column {' or '.join(wanted[:3])} (it has {listed(present, 12)}):"
            " rename one"
        )
    if present.count(found[0]) > 1:
        raise UserError(f"{path} has several columns {found[0]!r}: rename all but one")
    return found[0]


def _features(metadata: dict[bytes, bytes] | None, path: Path) -> dict[str, Any]:
    """What ``datasets`` wrote of each column into the schema's metadata."""
    text = (metadata or {}).get(b"huggingface")
    if text is None:
        return {}
    try:
        features = json.loads(text)["info"]["features"]
        return dict(features)
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise UserError(
            f"{path}: the schema's 'huggingface' metadata is damaged: write the file again"
        ) from error


def _of_type(features: dict[str, Any], kind: str) -> list[str]:
    return [n for n, f in features.items() if isinstance(f, dict) and f.get("_type") == kind]


def _names_of(features: dict[str, Any], label: str) -> Sequence[object]:
    feature = features.get(label)
    names = feature.get("names") if isinstance(feature, dict) else None
    return names if isinstance(names, list) else []
