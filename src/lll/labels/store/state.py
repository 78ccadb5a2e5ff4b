"""What events add up to: classes, labels, audits and proposals, by replaying them in order.

An undone batch is left out of the replay, whatever came after it. So an undo is exact, a redo
is its inverse, and ids, which stand in the events, never move.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass, field, replace

from lll.errors import UserError
from lll.labels.store.event import Event


@dataclass(frozen=True)
class Class:
    """A class: its ``id`` for ever, its ``name`` now, and the class it was merged into, if any.

    ``former`` are the names that it had before.
    """

    id: int
    name: str
    alias_of: int | None = None
    former: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Label:
    """The label of an image, with the event ``seq`` that said so and the content it was of."""

    class_id: int
    origin: str
    actor: str
    time: float
    seq: int
    hash: str
    model: str = ""
    confidence: float | None = None


@dataclass(frozen=True)
class Audit:
    """What was predicted of an image before it was shown; its label says what is true."""

    predicted: int | None
    model: str
    confidence: float | None
    time: float
    seq: int


@dataclass(frozen=True)
class Proposal:
    """Images that may be a class: ``images`` maps a path to its content hash.

    An image leaves when it gets a label, from whomever.
    """

    id: int
    name: str
    images: Mapping[str, str]
    model: str
    confidence: float | None
    time: float
    batch: str


@dataclass
class State:
    """All that a store says now. Class ids are those of events: `resolved` follows merges.

    ``labels``, ``audits``, ``excluded`` (classes that an image is not of) and ``marks``
    (``skip`` or ``unsure``) go by path; ``proposals`` are those neither named nor rejected, and
    ``proposed`` are the names of all of them by number.
    """

    classes: dict[int, Class] = field(default_factory=dict)
    labels: dict[str, Label] = field(default_factory=dict)
    audits: dict[str, Audit] = field(default_factory=dict)
    excluded: dict[str, frozenset[int]] = field(default_factory=dict)
    marks: dict[str, str] = field(default_factory=dict)
    proposals: dict[int, Proposal] = field(default_factory=dict)
    proposed: dict[int, str] = field(default_factory=dict)
    undone: tuple[str, ...] = ()  # batches, the last undone last
    seq: int = 0
    next_class: int = 0
    next_proposal: int = 0

    def copy(self) -> State:
        """The same state, which later events do not change."""
        return replace(
            self,
            classes=dict(self.classes),
            labels=dict(self.labels),
            audits=dict(self.audits),
            excluded=dict(self.excluded),
            marks=dict(self.marks),
            proposals=dict(self.proposals),
            proposed=dict(self.proposed),
        )

    def resolved(self, class_id: int) -> int:
        """The class that ``class_id`` is now, after merges."""
        for _ in self.classes:  # a circle, which `check_sound` refuses, ends too
            alias = self.classes[class_id].alias_of
            if alias is None or alias not in self.classes:
                break
            class_id = alias
        return class_id

    def class_of(self, image: str) -> int | None:
        """The class of ``image`` now; None where it has no label."""
        label = self.labels.get(image)
        return None if label is None else self.resolved(label.class_id)

    def audited(self) -> list[tuple[int, bool]]:
        """The class of each audited image, and whether it was predicted; oldest first.

        Both by the labels and merges of now: a corrected label corrects its audit.
        """
        found = []
        for image, audit in sorted(self.audits.items(), key=lambda item: item[1].seq):
            truth, said = self.class_of(image), audit.predicted
            if truth is not None:
                found.append((truth, said is not None and self.resolved(said) == truth))
        return found

    def live(self) -> dict[int, str]:
        """The names of the classes that are no aliases, by id, in the order of the ids."""
        return {c.id: c.name for _, c in sorted(self.classes.items()) if c.alias_of is None}

    def named(self, name: str) -> int | None:
        """The class called ``name``, after merges; None if there is none.

        A renamed or merged class is still found by its old name, unless another is called so.
        """
        found = [c for c in self.classes.values() if name in (c.name, *c.former)]
        found.sort(key=lambda c: (c.name != name, c.alias_of is not None, c.id))
        return self.resolved(found[0].id) if found else None


def replay(events: Iterable[Event]) -> State:
    """The state after ``events``, in the order of their ``seq``."""
    events = list(events)
    state = State()
    for event in events:
        count(state, event)
    for event in events:
        if event.batch not in state.undone:
            APPLY[event.op](state, event)
    return state


def count(state: State, event: Event) -> None:
    """Take in what an event changes even if it is undone: numbers, and what is undone."""
    state.seq = event.seq
    if event.op == "undo":
        state.undone += (event.undone,)
    elif event.op == "redo":
        state.undone = tuple(batch for batch in state.undone if batch != event.undone)
    classes = [given + 1 for given in (event.class_id, event.into) if given is not None]
    state.next_class = max([state.next_class, *classes])
    if event.proposal is not None:
        state.next_proposal = max(state.next_proposal, event.proposal + 1)


def check_sound(state: State, what: str) -> None:
    """UserError if, after an undo or a redo, something is missing that later events need."""
    for image, label in state.labels.items():
        if label.class_id not in state.classes:
            raise UserError(f"{what} would remove the class of {image!r}: undo that label first")
    names: set[str] = set()
    for one in state.classes.values():
        _check_alias(state, one, what)
        if one.alias_of is None and one.name in names:
            raise UserError(f"{what} would make two classes {one.name!r}: rename one first")
        names |= {one.name} if one.alias_of is None else set()


def _check_alias(state: State, one: Class, what: str) -> None:
    seen = {one.id}
    while one.alias_of is not None:
        if one.alias_of not in state.classes or one.alias_of in seen:
            raise UserError(f"{what} would break the merge of {one.name!r}: undo that merge first")
        one = state.classes[one.alias_of]
        seen.add(one.id)


def _label(state: State, event: Event) -> None:
    assert event.class_id is not None
    _set_labels(state, event, event.class_id, event.origin)
    for image in event.images:
        if event.origin == "audit":
            state.audits[image] = Audit(
                event.predicted, event.model, event.confidence, event.time, event.seq
            )


def _set_labels(state: State, event: Event, class_id: int, origin: str) -> None:
    for image, content in zip(event.images, event.hashes, strict=True):
        state.labels[image] = Label(
            class_id,
            origin,
            event.actor,
            event.time,
            event.seq,
            content,
            event.model,
            event.confidence,
        )
        state.marks.pop(image, None)
        if image in state.excluded:
            _exclude(state, image, state.excluded[image] - {class_id})
    for proposal in list(state.proposals.values()):
        _leave(state, proposal, event.images)


def _exclude(state: State, image: str, classes: frozenset[int]) -> None:
    if classes:
        state.excluded[image] = classes
    else:
        state.excluded.pop(image, None)


def _unlabel(state: State, event: Event) -> None:
    for image in event.images:
        state.labels.pop(image, None)
        state.audits.pop(image, None)


def _not(state: State, event: Event) -> None:
    assert event.class_id is not None
    for image in event.images:
        _exclude(state, image, state.excluded.get(image, frozenset()) | {event.class_id})
        label = state.labels.get(image)
        if label is not None and event.class_id in (label.class_id, _alias(state, label)):
            _unlabel(state, replace(event, images=(image,)))


def _alias(state: State, label: Label) -> int | None:
    """The class that the label is of after merges; None where that class is undone."""
    return state.resolved(label.class_id) if label.class_id in state.classes else None


def _mark(state: State, event: Event) -> None:
    for image in event.images:
        state.marks[image] = event.op


def _class(state: State, event: Event) -> None:
    assert event.class_id is not None
    state.classes[event.class_id] = Class(event.class_id, event.name)


def _rename(state: State, event: Event) -> None:
    one = state.classes.get(-1 if event.class_id is None else event.class_id)
    if one is not None:
        state.classes[one.id] = replace(one, name=event.name, former=(*one.former, one.name))


def _merge(state: State, event: Event) -> None:
    one = state.classes.get(-1 if event.class_id is None else event.class_id)
    if one is not None:
        state.classes[one.id] = replace(one, alias_of=event.into)


def _split(state: State, event: Event) -> None:
    assert event.into is not None
    state.classes[event.into] = Class(event.into, event.name)
    _set_labels(state, event, event.into, event.origin)


def _propose(state: State, event: Event) -> None:
    assert event.proposal is not None
    images = dict(zip(event.images, event.hashes, strict=True))
    state.proposed[event.proposal] = event.name
    state.proposals[event.proposal] = Proposal(
        event.proposal, event.name, images, event.model, event.confidence, event.time, event.batch
    )


def _name(state: State, event: Event) -> None:
    assert event.class_id is not None
    if event.class_id not in state.classes:
        state.classes[event.class_id] = Class(event.class_id, event.name)
    _set_labels(state, event, event.class_id, "suggestion")


def _reject(state: State, event: Event) -> None:
    assert event.proposal is not None
    if event.proposal in state.proposals:  # not if it was proposed in a batch that is undone
        _leave(state, state.proposals[event.proposal], event.images)


def _leave(state: State, proposal: Proposal, images: Collection[str]) -> None:
    """Take ``images`` out of ``proposal``; one without images is closed."""
    left = proposal.images.keys() - set(images)
    if not left:
        del state.proposals[proposal.id]
    elif len(left) < len(proposal.images):
        kept = {path: content for path, content in proposal.images.items() if path in left}
        state.proposals[proposal.id] = replace(proposal, images=kept)


def _nothing(state: State, event: Event) -> None:
    """An undo or a redo has been counted already."""


APPLY: Mapping[str, Callable[[State, Event], None]] = {
    "label": _label,
    "unlabel": _unlabel,
    "not": _not,
    "skip": _mark,
    "unsure": _mark,
    "class": _class,
    "rename": _rename,
    "merge": _merge,
    "split": _split,
    "propose": _propose,
    "name": _name,
    "reject": _reject,
    "undo": _nothing,
    "redo": _nothing,
}
