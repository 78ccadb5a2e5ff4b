"""Settings as TOML."""

from __future__ import annotations

import json
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from lll.errors import UserError


def toml_value(value: Any) -> str:
    """``value`` as it is written in TOML."""
    # JSON's strings are TOML's, but for surrogate pairs and a bare DEL.
    return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007F")


def read_toml(path: Path) -> dict[str, Any]:
    """The keys of a TOML file; UserError that names the file if it cannot be read."""
    try:
        return tomllib.loads(path.read_text(encoding="utf-8-sig"))
    except FileNotFoundError:
        raise UserError(f"{path}: no such configuration file: check the path") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError, OSError) as error:
        raise UserError(f"{path}: not readable as TOML: {error}") from None


def differing(first: Mapping[str, Any], second: Mapping[str, Any]) -> list[str]:
    """Names of the fields in which two configurations (`RunConfig.to_dict`) differ."""
    return sorted(k for k in {*first, *second} if first.get(k) != second.get(k))
