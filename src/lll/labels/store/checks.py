"""What an event must hold before it is written, and what the store fills in."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace

from lll.errors import UserError, lookup
from lll.labels.store.event import ORIGINS, Event
from lll.labels.store.names import check_new_name, checked_name
from lll.labels.store.state import State


def completed(event: Event, state: State) -> Event:
    """``event`` with its class and proposal ids, and what its images were before it.

    Raises UserError for an unknown op, origin, class, proposal or batch, a name that is taken,
    an event without the images that it needs, and a merge of a class with itself.
    """
    if event.origin not in ORIGINS:
        raise UserError(f"label origin {event.origin!r}: choose one of {', '.join(ORIGINS)}")
    if event.batch in state.undone:
        raise UserError(f"batch {event.batch!r} was undone: give a new one")
    event = lookup(_CHECKS, event.op, "label event")(event, state)
    if len(set(event.images)) < len(event.images):
        raise UserError(f"event {event.op!r} names an image twice: name each once")
    if event.op not in ("undo", "redo") and len(event.hashes) != len(event.images):
        raise UserError(f"event {event.op!r} has {len(event.hashes)} hashes: give one per image")
    return replace(event, previous=tuple(state.class_of(image) for image in event.images))


def known_class(state: State, class_id: int | None) -> int:
    """The class ``class_id`` after merges; UserError if there is none."""
    if class_id is None or class_id not in state.classes:
        raise UserError(f"there is no class {class_id}: make it first")
    return state.resolved(class_id)


def _with_images(event: Event, state: State) -> Event:
    if not event.images:
        raise UserError(f"event {event.op!r} names no image: name one at least")
    return event


def _label(event: Event, state: State) -> Event:
    predicted = event.predicted
    if predicted is not None:
        predicted = known_class(state, predicted)
    return replace(_of_class(event, state), predicted=predicted)


def _of_class(event: Event, state: State) -> Event:
    return replace(_with_images(event, state), class_id=known_class(state, event.class_id))


def _class(event: Event, state: State) -> Event:
    return replace(event, class_id=state.next_class, name=check_new_name(state, event.name))


def _rename(event: Event, state: State) -> Event:
    class_id = known_class(state, event.class_id)
    return replace(event, class_id=class_id, name=check_new_name(state, event.name, class_id))


def _merge(event: Event, state: State) -> Event:
    one, into = known_class(state, event.class_id), known_class(state, event.into)
    if one == into:
        raise UserError(f"class {state.classes[into].name!r} cannot be merged into itself")
    return replace(event, class_id=one, into=into)


def _split(event: Event, state: State) -> Event:
    event = _of_class(event, state)
    for image in event.images:
        if state.class_of(image) != event.class_id:
            name = state.classes[event.class_id or 0].name
            raise UserError(f"{image!r} is not of class {name!r}: split off its own images only")
    return replace(event, into=state.next_class, name=check_new_name(state, event.name))


def _propose(event: Event, state: State) -> Event:
    return replace(_with_images(event, state), proposal=state.next_proposal)


def _name(event: Event, state: State) -> Event:
    event = _of_proposal(event, state)
    name = checked_name(event.name)
    class_id = state.named(name)
    return replace(event, class_id=state.next_class if class_id is None else class_id, name=name)


def _of_proposal(event: Event, state: State) -> Event:
    """``event`` with all images of its proposal, unless it names some of them."""
    proposal = state.proposals.get(-1 if event.proposal is None else event.proposal)
    if proposal is None:
        raise UserError(f"there is no open proposal {event.proposal}: see `lll labels history`")
    stray = set(event.images) - set(proposal.images)
    if stray:
        raise UserError(f"{min(stray)!r} is not in proposal {proposal.name!r}: leave it out")
    images = event.images or tuple(proposal.images)
    hashes = tuple(proposal.images[image] for image in images)
    return replace(event, images=images, hashes=hashes)


def _undo(event: Event, state: State) -> Event:
    if event.undone in state.undone:
        raise UserError(f"batch {event.undone!r} is undone already")
    return event


def _redo(event: Event, state: State) -> Event:
    if event.undone not in state.undone:
        raise UserError(f"batch {event.undone!r} is not undone: there is nothing to redo")
    return event


_CHECKS: Mapping[str, Callable[[Event, State], Event]] = {
    "label": _label,
    "unlabel": _with_images,
    "not": _of_class,
    "skip": _with_images,
    "unsure": _with_images,
    "class": _class,
    "rename": _rename,
    "merge": _merge,
    "split": _split,
    "propose": _propose,
    "name": _name,
    "reject": _of_proposal,
    "undo": _undo,
    "redo": _redo,
}
