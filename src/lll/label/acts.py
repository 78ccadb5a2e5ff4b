"""What the page may ask for, checked."""

from __future__ import annotations

from typing import Literal

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
    which is made if it is not there. ``asked`` says that it answers the question about its image.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    uuid: str = Field(pattern="^[0-9a-f-]{36}$")
    op: Op
    images: tuple[int, ...] = Field((), strict=False, max_length=200_000)
    class_id: int | None = Field(None, ge=0, lt=2**15)
    into: int | None = Field(None, ge=0, lt=2**15)
    proposal: int | None = Field(None, ge=0, lt=2**31)
    name: str = Field("", max_length=200)
    asked: bool = False


def read_act(body: bytes) -> Act:
    """The act in the JSON ``body``; UserError if it is none."""
    try:
        return Act.model_validate_json(body)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"])) or "body"
        raise UserError(f"{where}: {first['msg']}: load the page again") from None
