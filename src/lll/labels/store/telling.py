"""What was done, in a few words."""

from __future__ import annotations

from lll.labels.store.event import Event
from lll.labels.store.state import State

SHORT = 8  # characters of a batch that are shown


def told(event: Event, state: State) -> str:
    """What an event did, with the classes by the names they have now."""

    def named(class_id: int | None) -> str:
        known = state.classes.get(-1 if class_id is None else class_id)
        return repr(known.name) if known else f"class {class_id}"

    def proposed() -> str:
        number = -1 if event.proposal is None else event.proposal
        return state.proposed.get(number, f"proposal {event.proposal}")

    by_op = {
        "label": lambda: f"label {named(event.class_id)}",
        "not": lambda: f"not {named(event.class_id)}",
        "class": lambda: f"new class {event.name!r}",
        "rename": lambda: f"call class {event.class_id} {event.name!r}",
        "merge": lambda: f"merge {named(event.class_id)} into {named(event.into)}",
        "split": lambda: f"split {named(event.class_id)}: {event.name!r}",
        "propose": lambda: f"propose {event.name!r}",
        "name": lambda: f"{proposed()} is {event.name!r}",
        "reject": lambda: f"reject {proposed()}",
        "undo": lambda: f"undo {event.undone[:SHORT]}",
        "redo": lambda: f"redo {event.undone[:SHORT]}",
    }
    return by_op.get(event.op, lambda: event.op)()
