"""What the page shows and does: the store's labels, the model's guesses, what to ask next.

All of it is in memory but for the events, which the store has on the disk before an answer counts
as given. Methods may be called from any thread.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Collection, Iterable
from dataclasses import dataclass, field, replace
from threading import Event as Flag
from threading import RLock
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lll.errors import UserError
from lll.label.acts import Act
from lll.label.gallery import Gallery
from lll.label.guess import Guess
from lll.labels.store import Event, State, Store, content_of
from lll.metrics.curve import Curve
from lll.words import count

SUGGESTIONS = 3
AUDIT_EVERY = 10  # questions, of which one is drawn uniformly
ENOUGH = 5  # questions in the queue; below it new ones are chosen
NONE = -1
GONE = "no longer in the folder"

NO_SIGN = "No sign of new classes. If you know of some, say how many to look for."


@dataclass(frozen=True)
class Question:
    """An image that is shown, with what the model said of it before."""

    image: int
    audit: bool
    ranked: tuple[tuple[int, float], ...]  # class ids and probabilities, likeliest first
    model: str


@dataclass
class Session:
    """One folder being labelled."""

    gallery: Gallery
    store: Store
    seed: int = 0
    version: int = 0  # grows with every change that the page may show
    guess: Guess | None = None
    places: NDArray[np.float32] | None = None  # [n, 2] of the map, NaN where unknown
    maps: int = 0  # that were drawn
    map_note: str = ""
    news: str = ""  # what was found when the folder was looked through again
    encoded: int = 0
    busy: str = ""
    fault: str = ""  # why something in the background ended
    training: str = ""  # the last line of `lll train`
    notice: str = ""  # what came of the last piece of work that was asked for
    broken: dict[int, str] = field(default_factory=dict)
    doubtful: list[int] = field(default_factory=list)  # labels that may be wrong
    curve: Curve | None = None
    twins: list[int] = field(default_factory=list)  # images that are nearly the same, by group
    queue: deque[int] = field(default_factory=deque)
    state: State = field(default_factory=State)

    def __post_init__(self) -> None:
        self.lock = RLock()
        self.wake = Flag()  # an answer, or something to learn from
        self.scanned = Flag()  # another gallery
        self.editions: dict[int, int] = {}  # how often a file was written anew, by image
        self._shown: dict[int, Question] = {}
        self._asked = 0
        self._next = 0  # in the order of file names, before there are features
        self._random = np.random.default_rng([self.seed, 1])
        self._hashes: dict[int, str] = {}
        self._refresh()

    # What is known

    def targets(self) -> NDArray[np.int64]:
        """Of each image the id of its class, -1 without."""
        with self.lock:
            out = np.full(len(self.gallery), NONE, dtype=np.int64)
            for path in self.state.labels:
                at, class_id = self.gallery.at.get(path), self.state.class_of(path)
                if at is not None and class_id is not None:
                    out[at] = class_id
            return out

    def closed(self) -> NDArray[np.bool_]:
        """Which images are not to be asked about: skipped, unsure, or not readable."""
        with self.lock:
            out = np.zeros(len(self.gallery), dtype=bool)
            marked = (self.gallery.at.get(path) for path in self.state.marks)
            out[[at for at in marked if at is not None]] = True
            out[list(self.broken)] = True
            return out

    def changed(self) -> None:
        """Say that there is something new to show."""
        with self.lock:
            self.version += 1

    def say(self, line: str) -> None:
        """Show a line of the training that goes on beside."""
        with self.lock:
            self.training = line
            self.changed()

    def forget(self) -> None:
        """Have no model, where one was: labels of two classes are no longer there."""
        with self.lock:
            if self.guess is not None:
                self.guess = None
                self.changed()

    def note_map(self, note: str) -> None:
        """Say how the map was drawn."""
        with self.lock:
            self.map_note = note
            self.changed()

    def take(self, gallery: Gallery) -> None:
        """Go on with ``gallery``, in which the images of now have the same numbers."""
        with self.lock:
            old, self.gallery = self.gallery, gallery
            self._refresh()
            if old is gallery:
                return
            pairs = zip(old.photos, gallery.photos, strict=False)
            changed = [i for i, (one, two) in enumerate(pairs) if one.stamp != two.stamp]
            for image in changed:
                for known in (self.broken, self._hashes, self._shown):
                    known.pop(image, None)
                self.editions[image] = self.editions.get(image, 0) + 1
            self.broken |= {i: GONE for i, photo in enumerate(gallery.photos) if photo.gone}
            if self.guess is not None:
                self.guess = self.guess.grown(len(gallery), changed)
            if self.places is not None:
                more = len(gallery) - len(self.places)
                self.places = np.pad(self.places, ((0, more), (0, 0)), constant_values=np.nan)
            self.scanned.set()
            self.wake.set()

    # Questions

    def ask(self, held: Collection[int]) -> Question | None:
        """The next image to ask about, none of those ``held`` by the page already."""
        with self.lock:
            audit = self.guess is not None and self._asked % AUDIT_EVERY == AUDIT_EVERY - 1
            image = self._drawn(held) if audit else self._queued(held)
            if image is None:
                return None
            self._asked += 1
            if image not in self._shown or not self._shown[image].audit:
                self._shown[image] = self._question(image, audit)
            return self._shown[image]

    def again(self, image: int) -> Question:
        """The question of ``image`` as it stands now: without the classes that it is not of.

        What a model said before stays; where there was none, the one of now is asked.
        """
        with self.lock:
            shown = self._shown.get(image)
            if shown is None or not shown.model:
                shown = self._shown[image] = self._question(image, audit=False)
            without = self.excluded(image)
            return replace(shown, ranked=tuple(r for r in shown.ranked if r[0] not in without))

    def _question(self, image: int, audit: bool) -> Question:
        if self.guess is None:
            return Question(image, audit, (), "")
        ranked = self.guess.ranked(image, self.excluded(image))
        return Question(image, audit, tuple(ranked), self.guess.name)

    def excluded(self, image: int) -> set[int]:
        """The classes that ``image`` is not of."""
        path = self.gallery.photos[image].path
        return {self.state.resolved(c) for c in self.state.excluded.get(path, ())}

    def _open(self, image: int, held: Collection[int]) -> bool:
        path = self.gallery.photos[image].path
        done = path in self.state.labels or path in self.state.marks
        return not done and image not in held and image not in self.broken

    def _queued(self, held: Collection[int]) -> int | None:
        while self.queue:
            image = self.queue.popleft()
            if len(self.queue) < ENOUGH:
                self.wake.set()
            if self._open(image, held):
                return image
        for step in range(len(self.gallery)):  # from where it stopped, and round
            image = (self._next + step) % len(self.gallery)
            if self._open(image, held):
                self._next = image
                return image
        return None

    def _drawn(self, held: Collection[int]) -> int | None:
        assert self.guess is not None
        free = (self.targets() < 0) & ~self.closed() & self.guess.known
        free[list(held)] = False
        at = np.flatnonzero(free)
        return int(self._random.choice(at)) if len(at) else self._queued(held)

    # Answers

    def act(self, act: Act) -> dict[str, Any]:
        """Write what the page did to the store, once for each ``uuid``; what to tell the page.

        Raises UserError where it cannot be done; then nothing is written.
        """
        with self.lock:
            for image in act.images:
                if not 0 <= image < len(self.gallery):
                    raise UserError(f"there is no image {image}: load the page again")
            if act.op in ("undo", "redo"):
                done = getattr(self.store, act.op)(act.batch or None, uuid=act.uuid)
            else:
                done = self.store.append(self._events(act))[-1]
            self._refresh()
            for image in act.images:
                if act.op != "not":
                    self._shown.pop(image, None)
            self.wake.set()
            return {"images": len(done.images), "what": self._what(done), "seq": self.state.seq}

    def propose(self, events: list[Event]) -> None:
        """Write what the model proposes; it is undone as one."""
        with self.lock:
            hashed = [
                self._of_images(event, self.numbers(event.images)) if event.images else event
                for event in events
            ]
            self.store.append(hashed)
            number = sum(event.op == "propose" for event in events)
            self.notice = f"{count(number, 'class', 'classes')} proposed" if number else NO_SIGN
            self._refresh()

    def _what(self, done: Event) -> str:
        """The op that ``done`` was, or of an undo or redo the one that it took back."""
        if not done.undone:
            return done.op
        about = [event for event in self.store.history() if event.batch == done.undone]
        return about[-1].op if about else done.op

    def _events(self, act: Act) -> list[Event]:
        """The events of an act that is no undo or redo; all in one batch."""
        if act.op == "label":
            return self._label_events(act)
        if act.op in ("name", "reject", "class", "rename", "merge", "split"):
            event = Event(
                act.op,
                class_id=act.class_id,
                into=act.into,
                name=act.name,
                proposal=act.proposal,
                uuid=act.uuid,
            )
            return [self._of_images(event, act.images)]
        return [self._of_images(Event(act.op, class_id=act.class_id, uuid=act.uuid), act.images)]

    def _label_events(self, act: Act) -> list[Event]:
        """Labels of a class there is, or of a new one; apart by who had the idea."""
        class_id, events = act.class_id, []
        if class_id is None:
            class_id = self.state.named(act.name)
            if class_id is None:
                class_id = self.state.next_class
                events.append(Event("class", name=act.name, uuid=f"{act.uuid}/class"))
        groups: dict[str, list[int]] = {}
        for image in act.images:
            groups.setdefault(self._origin(image, class_id, act.asked), []).append(image)
        for origin, images in groups.items():
            event = Event("label", class_id=class_id, origin=origin, uuid=f"{act.uuid}/{origin}")
            events.append(self._of_images(self._with_model(event, images), images))
        return events

    def _origin(self, image: int, class_id: int, asked: bool) -> str:
        """Who had the idea that ``image`` is of a class."""
        shown = self._shown.get(image) if asked else None
        if shown is not None and shown.audit:
            return "audit"
        if shown is not None:
            ranked = list(shown.ranked)
        else:
            ranked = self.guess.ranked(image)[:1] if self.guess else []
        return "suggestion" if ranked and ranked[0][0] == class_id else "person"

    def _with_model(self, event: Event, images: list[int]) -> Event:
        """``event`` with the model that it confirms or is an audit of, and how sure that was."""
        shown = self._shown.get(images[0]) if len(images) == 1 else None
        if event.origin == "person":
            return event
        if shown is None or not shown.ranked:
            return replace(event, model=self.guess.name if self.guess else "")
        class_id, confidence = shown.ranked[0]
        predicted = class_id if event.origin == "audit" else None
        return replace(event, model=shown.model, confidence=confidence, predicted=predicted)

    def _of_images(self, event: Event, images: Iterable[int]) -> Event:
        images = list(dict.fromkeys(images))
        paths = tuple(self.gallery.photos[image].path for image in images)
        return replace(event, images=paths, hashes=tuple(map(self._hash, images)))

    def _hash(self, image: int) -> str:
        if image not in self._hashes:
            self._hashes[image] = content_of(self.gallery.photos[image].place)
        return self._hashes[image]

    def _refresh(self) -> None:
        self.state = self.store.state()
        self.version += 1

    def numbers(self, paths: Iterable[str]) -> list[int]:
        """The images at ``paths``, those that are there."""
        return [self.gallery.at[path] for path in paths if path in self.gallery.at]
