"""A folder's store of label events: one writer, any number of readers.

    with open_store(folder, write=True) as store:
        [heron] = store.append([Event("class", name="heron")])
        store.append([Event("label", images=("a.jpg",), class_id=heron.class_id)])
        store.undo()                    # the label
        store.state().live()            # {0: 'heron'}

Every call is one transaction that is on the disk when it returns. The methods may be called from
several threads.
"""

from __future__ import annotations

import sqlite3
import time
import uuid
from bisect import bisect_right
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from threading import RLock

from lll.errors import UserError
from lll.labels.store.checks import completed
from lll.labels.store.content import content_of
from lll.labels.store.database import insert, opened, says_what_failed, select
from lll.labels.store.event import FOLLOWERS, Event
from lll.labels.store.lock import held
from lll.labels.store.state import APPLY, State, check_sound, count, replay

HOME = ".lll"
_REVERSE = ("undo", "redo")


def store_path(folder: Path) -> Path:
    """Where the store of ``folder`` is, or would be."""
    return folder / HOME / "labels.sqlite"


def has_store(folder: Path) -> bool:
    """Whether ``folder`` has labels of its own."""
    return store_path(folder).is_file()


@contextmanager
def open_store(folder: str | Path, *, write: bool) -> Iterator[Store]:
    """The store of ``folder``; made where it is missing, if ``write``.

    Raises UserError for a folder that is not there, for a missing store without ``write``, for
    a store that is damaged or of a newer version, and if another process writes it.
    """
    folder = Path(folder)
    path = store_path(folder)
    if not folder.is_dir():
        raise UserError(f"{folder}: no such folder: check the path")
    if not write:
        if not path.is_file():
            raise UserError(f"{folder}: has no labels of its own yet: add some first")
        with opened(path, write=False) as connection:
            yield Store(folder, connection)
        return
    _make_home(path.parent)
    with held(path.parent / "lock", folder), opened(path, write=True) as connection:
        yield Store(folder, connection)


def _make_home(home: Path) -> None:
    try:
        home.mkdir(exist_ok=True)
    except OSError as error:
        raise UserError(f"{home}: cannot be made ({error.strerror}): check permissions") from None


class Store:
    """An open store; see `open_store`."""

    def __init__(self, folder: Path, connection: sqlite3.Connection) -> None:
        self.folder, self._connection = folder, connection
        self._lock = RLock()
        self._state, self._events = State(), list[Event]()  # as far as they have been read
        self._path = store_path(folder)
        with self._alone():
            self._catch_up()

    def append(self, events: Iterable[Event]) -> list[Event]:
        """Write ``events``, all or none, and give them as written.

        Those without a batch share one. One whose uuid is there already is not written again,
        and given as it is. Raises UserError as `lll.labels.store.checks.completed` says.
        """
        shared = str(uuid.uuid4())
        events = [self._hashed(event) for event in events]
        with self._alone(), self._transaction():
            return [self._add(event, shared) for event in events]

    def state(self) -> State:
        """What the events add up to now, those of another process too."""
        with self._alone():
            self._catch_up()
            return self._state.copy()

    def history(self, since: int = 0) -> list[Event]:
        """The events with a ``seq`` above ``since``, oldest first."""
        with self._alone():
            self._catch_up()
            return self._events[bisect_right(self._events, since, key=lambda event: event.seq) :]

    def undo(self, batch: str | None = None, *, actor: str = "person", uuid: str = "") -> Event:
        """Undo a ``batch`` of events, by default the last that is not undone; the undo as written.

        What follows files (`FOLLOWERS`) is undone only when it is named.

        Its ``images`` are those that the batch was about. Raises UserError if there is nothing
        to undo, and where later events need what would be gone.
        """
        with self._alone():
            return self._written(uuid) or self._reverse(
                "undo", batch or self._last_done(), actor, uuid
            )

    def redo(self, batch: str | None = None, *, actor: str = "person", uuid: str = "") -> Event:
        """Take back the undo of ``batch``, by default the last, if nothing else came after it."""
        with self._alone():
            return self._written(uuid) or self._reverse(
                "redo", batch or self._last_undone(), actor, uuid
            )

    def _reverse(self, op: str, batch: str, actor: str, uuid: str) -> Event:
        self._catch_up()
        about = [event for event in self._events if event.batch == batch]
        if not about or any(event.op in _REVERSE for event in about):
            raise UserError(f"{self.folder}: there is no batch {batch!r} to {op}")
        images = tuple(dict.fromkeys(image for event in about for image in event.images))
        return self.append([Event(op, images, undone=batch, actor=actor, uuid=uuid)])[0]

    def _last_done(self) -> str:
        self._catch_up()
        for event in reversed(self._events):
            mine = event.op not in _REVERSE and event.actor not in FOLLOWERS
            if mine and event.batch not in self._state.undone:
                return event.batch
        raise UserError(f"{self.folder}: there is nothing to undo")

    def _last_undone(self) -> str:
        self._catch_up()
        if not self._state.undone or self._events[-1].op not in _REVERSE:
            raise UserError(f"{self.folder}: there is nothing to redo")
        return self._state.undone[-1]

    def _add(self, event: Event, shared: str) -> Event:
        if known := self._written(event.uuid):
            return known
        event = replace(event, uuid=event.uuid or str(uuid.uuid4()))
        event = completed(replace(event, batch=event.batch or shared), self._state)
        event = replace(event, time=event.time or time.time())
        event = replace(event, seq=insert(self._connection, event))
        self._take_in([event])
        if event.op in _REVERSE:
            check_sound(self._state, f"{event.op} of {event.undone!r}")
        return event

    def _written(self, uuid: str) -> Event | None:
        """The event ``uuid`` if it is there already."""
        found = select(self._connection, "WHERE uuid = ?", (uuid,)) if uuid else []
        return found[0] if found else None

    def _hashed(self, event: Event) -> Event:
        """``event`` with the contents of its images, unless they are given or known already."""
        if event.hashes or event.op in (*_REVERSE, "name", "reject"):
            return event
        return replace(
            event, hashes=tuple(content_of(self.folder / image) for image in event.images)
        )

    def _catch_up(self) -> None:
        self._take_in(select(self._connection, "WHERE seq > ? ORDER BY seq", (self._state.seq,)))

    def _take_in(self, events: list[Event]) -> None:
        self._events += events
        if any(event.op in _REVERSE for event in events):
            self._state = replay(self._events)
            return
        for event in events:
            count(self._state, event)
            APPLY[event.op](self._state, event)

    @contextmanager
    def _alone(self) -> Iterator[None]:
        with self._lock, says_what_failed(self._path):
            yield

    @contextmanager
    def _transaction(self) -> Iterator[None]:
        self._connection.execute("BEGIN IMMEDIATE")
        try:
            self._catch_up()
            yield
            self._connection.execute("COMMIT")
        except BaseException:
            if self._connection.in_transaction:
                self._connection.execute("ROLLBACK")
            self._state, self._events = State(), []
            self._catch_up()
            raise
