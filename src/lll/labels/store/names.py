"""Names of classes that a person gives."""

from __future__ import annotations

from lll.errors import UserError
from lll.labels.names import class_name, is_unlabelled_folder
from lll.labels.store.state import State

MOST_CHARACTERS = 200


def check_new_name(state: State, name: str, but: int | None = None) -> str:
    """``name`` as a class may be called; UserError if it may not, or if another class has it."""
    name = checked_name(name)
    if any(name == other and at != but for at, other in state.live().items()):
        raise UserError(f"class {name!r} exists already: take another name, or merge the classes")
    return name


def checked_name(name: str) -> str:
    """``name`` with accents composed and without spaces around it; UserError if it is no name."""
    name = class_name(name)
    if not name or len(name) > MOST_CHARACTERS or not name.isprintable():
        raise UserError(
            f"class name {name!r}: give 1 to {MOST_CHARACTERS} characters, all of them visible"
        )
    if is_unlabelled_folder(name):
        raise UserError(f"class name {name!r} means no label: take another name")
    return name
