"""What the page may ask for, checked."""

from __future__ import annotations

from typing import Literal, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from lll.errors import UserError

Op = Literal[
    "label",
    "unlabel",
    "not",
    "skip",
    "unsure",
    "class",
    "rename",
    "merge",
    "split",
    "name",
    "reject",
    "undo",
    "redo",
]


class Act(BaseModel):
    """One act of a person; see `lll.labels.store.Event` for what an ``op`` needs.

    ``images`` are numbers. A label is of the class ``class_id``, or of the one called ``name``,
    which is made if it is not there. An undo or redo is of ``batch``, or of the last one.
    ``asked`` says that it answers the question about its image.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    uuid: str = Field(pattern="^[0-9a-f-]{36}$")
    op: Op
    images: tuple[int, ...] = Field((), strict=False, max_length=200_000)
    class_id: int | None = Field(None, ge=0, lt=2**15)
    into: int | None = Field(None, ge=0, lt=2**15)
    proposal: int | None = Field(None, ge=0, lt=2**31)
    name: str = Field("", max_length=200)
    batch: str = Field("", max_length=100)
    asked: bool = False


Asked = TypeVar("Asked", bound=BaseModel)


class Folders(BaseModel):
    """Where to put the labelled images in class folders, beside the folder; links or copies."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    out: str = Field(min_length=1, max_length=1000)
    link: bool = False


class Search(BaseModel):
    """How many new classes to look for; None for as many as there seem to be."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    new: int | None = Field(None, ge=1, le=100)


def read(kind: type[Asked], body: bytes) -> Asked:
    """What the JSON ``body`` asks for; UserError if it is none of that ``kind``."""
    try:
        return kind.model_validate_json(body)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"])) or "body"
        raise UserError(f"{where}: {first['msg']}: load the page again") from None
