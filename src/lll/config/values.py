"""How the values of settings are written: as text in flags and TOML, or as Python values."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Annotated, Any

from pydantic import BeforeValidator, Field, PlainSerializer

from lll.labels.schedule import Schedule, class_schedule, label_schedule, rate_schedule


def _joined(value: Any) -> Any:
    """Names with commas, also where a list is given; a path as text."""
    if isinstance(value, list | tuple):
        return ",".join(map(str, value))
    return str(value) if isinstance(value, Path) else value


def _names(value: Any) -> Any:
    """A list of names as it is, also where a flag holds it as it stands in TOML."""
    if not isinstance(value, str) or not value.lstrip().startswith("["):
        return value
    try:
        return tomllib.loads(f"names = {value}")["names"]
    except tomllib.TOMLDecodeError:
        return value


def _place(value: Any) -> Any:
    """A path as well-formed text, whatever its bytes are."""
    from lll.data.paths import as_text  # brings NumPy, which `lll --help` can do without

    text = _joined(value)
    return as_text(text) if isinstance(text, str) else text


_AS_TEXT = PlainSerializer(str)
Text = Annotated[str, BeforeValidator(_joined)]
Place = Annotated[str, BeforeValidator(_place)]
ClassOrder = Annotated[str | tuple[str, ...], BeforeValidator(_names)]
ClassSchedule = Annotated[Schedule, BeforeValidator(class_schedule), _AS_TEXT]
LabelSchedule = Annotated[Schedule, BeforeValidator(label_schedule), _AS_TEXT]
RateSchedule = Annotated[Schedule, BeforeValidator(rate_schedule), _AS_TEXT]
Share = Annotated[float, Field(ge=0, lt=1)]
Count = Annotated[int, Field(ge=1)]

MOST_EPOCHS = 100_000  # planned one by one: ten times as many take a minute
