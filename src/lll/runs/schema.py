"""What the files of a run folder may hold: checked as a whole when they are read.

In pydantic's strict mode no text passes for a number.
"""

from __future__ import annotations

from typing import Annotated, Any, Self

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    ValidationError,
    model_validator,
)

Count = Annotated[int, Field(ge=0, le=10**12)]
Share = Annotated[float, Field(ge=0, le=1)]


class Strict(BaseModel):
    """A schema: types as they are written, numbers that are finite."""

    model_config = ConfigDict(strict=True, extra="forbid", allow_inf_nan=False)


def _unlike(names: tuple[str, ...]) -> tuple[str, ...]:
    if len(set(names)) < len(names):
        raise ValueError("two classes have one name")
    return names


class Facts(Strict):
    """data.json, as `DataFacts`."""

    name: str
    class_names: Annotated[tuple[str, ...], Field(min_length=1), AfterValidator(_unlike)]
    train: Count
    validation: Count
    test: Count
    fingerprint: str
    labels: str = ""
    seq: Count = 0


_Label = Annotated[int, Field(ge=-1)]


class UpdateLine(Strict):
    """A line of updates.jsonl, as `lll.runs.updates.Update`."""

    epochs: Count
    facts: Facts
    changes: tuple[
        tuple[str, str, _Label, str, str, str] | tuple[str, str, _Label, str, str], ...
    ]  # the shorter ones of earlier versions
    gone: tuple[str, ...]


_Note = float | str | None


class EpochMetrics(Strict):
    """A line of metrics.jsonl: what every line has, and what a method adds by its own names."""

    model_config = ConfigDict(extra="allow")
    __pydantic_extra__: dict[str, _Note | list[_Note] | dict[str, _Note]]

    epoch: Count
    classes: Count
    labels_known: Count
    unlabelled: Count
    contrastive_rate: float
    probe_rate: float
    validation_accuracy: Share | None
    test_accuracy: Share | None
    test_accuracy_represented: Share | None
    test_accuracy_novel: Share | None
    test_accuracy_per_class: list[Share | None]

    @model_validator(mode="after")
    def _losses_are_numbers(self) -> Self:
        for name, value in (self.__pydantic_extra__ or {}).items():
            if name.endswith("_loss") and not isinstance(value, float | int):
                raise ValueError(f"{name} is not a number")
        return self


class EpochTiming(Strict):
    """A line of timings.jsonl; seconds of 0.1 may be below zero."""

    model_config = ConfigDict(extra="allow")
    __pydantic_extra__: dict[str, float]

    epoch: Count
    seconds: float


def complaint(error: ValidationError) -> str:
    """The first complaint of ``error``: where in the value, and what is wrong there."""
    first: Any = error.errors(include_url=False, include_input=False)[0]
    where = ".".join(map(str, first["loc"]))
    message = first["msg"].removeprefix("Value error, ")
    message = message[:1].lower() + message[1:]
    return f"{where}: {message}" if where else message
