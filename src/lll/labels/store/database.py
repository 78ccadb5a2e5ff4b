"""The SQLite file of a store: one table of events, to which rows are added and nothing else."""

from __future__ import annotations

import json
import os
import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import fields
from pathlib import Path
from typing import Any

from lll.errors import UserError
from lll.labels.store.event import Event

VERSION = 1
APPLICATION = 0x6C6C6C31  # "lll1"
_LOG = "labels.sqlite-wal"
_LISTS = ("images", "hashes", "previous")
_COLUMNS = tuple(f.name for f in fields(Event))
_QUOTED = [f'"{name}"' for name in _COLUMNS]  # "into" is a word of SQL
_SCHEMA = f"""
BEGIN IMMEDIATE;
CREATE TABLE event (
    seq INTEGER PRIMARY KEY AUTOINCREMENT, uuid TEXT NOT NULL UNIQUE, time REAL NOT NULL,
    actor TEXT NOT NULL, op TEXT NOT NULL, images TEXT NOT NULL, hashes TEXT NOT NULL,
    previous TEXT NOT NULL, class_id INTEGER, "into" INTEGER, proposal INTEGER,
    name TEXT NOT NULL, origin TEXT NOT NULL, predicted INTEGER, confidence REAL,
    model TEXT NOT NULL, undone TEXT NOT NULL, batch TEXT NOT NULL
);
CREATE TRIGGER event_stays BEFORE UPDATE ON event
    BEGIN SELECT RAISE(ABORT, 'events are only added'); END;
CREATE TRIGGER event_is_kept BEFORE DELETE ON event
    BEGIN SELECT RAISE(ABORT, 'events are only added'); END;
PRAGMA application_id = {APPLICATION};
PRAGMA user_version = {VERSION};
COMMIT;
"""
_INSERT = f"INSERT INTO event ({', '.join(_QUOTED)}) VALUES ({', '.join('?' * len(_COLUMNS))})"
_SELECT = f"SELECT {', '.join(_QUOTED)} FROM event"


@contextmanager
def opened(path: Path, *, write: bool) -> Iterator[sqlite3.Connection]:
    """The database ``path``, made where ``write``; UserError if it is damaged or not ours."""
    with says_what_failed(path):
        connection = _connect(path, write)
    try:
        with says_what_failed(path):
            _prepare(connection, path, write)
        yield connection
    finally:
        connection.close()


def _connect(path: Path, write: bool) -> sqlite3.Connection:
    mode = "rwc" if write else "ro"
    if not write and not os.access(path.parent, os.W_OK) and not path.with_name(_LOG).exists():
        mode += "&immutable=1"  # such as a disc: no file for readers can be made beside it
    # The threads of a server share it; the store lets one in at a time.
    return sqlite3.connect(
        f"{path.absolute().as_uri()}?mode={mode}",
        uri=True,
        timeout=5,
        isolation_level=None,
        check_same_thread=False,
    )


def _prepare(connection: sqlite3.Connection, path: Path, write: bool) -> None:
    version = _number(connection, "user_version")
    made = connection.execute("SELECT count(*) FROM sqlite_master").fetchone()[0]
    if version > VERSION:
        raise UserError(
            f"{path}: written by a newer lll (version {version} of the store, and this one reads"
            f" {VERSION}): update lll"
        )
    if made and _number(connection, "application_id") != APPLICATION:
        raise UserError(f"{path}: is not a store of labels: move it away")
    if made:
        fault = connection.execute("PRAGMA quick_check(1)").fetchone()[0]
        if fault != "ok":
            raise sqlite3.DatabaseError(fault)
    if write:
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("PRAGMA synchronous = FULL")
    if not made:
        if not write:
            raise UserError(f"{path}: has no labels yet: add some first")
        connection.executescript(_SCHEMA)


def _number(connection: sqlite3.Connection, pragma: str) -> int:
    return int(connection.execute(f"PRAGMA {pragma}").fetchone()[0])


@contextmanager
def says_what_failed(path: Path) -> Iterator[None]:
    """What SQLite raises inside becomes one line."""
    try:
        yield
    except sqlite3.Error as error:
        name = getattr(error, "sqlite_errorname", "")
        for start, remedy in _REMEDIES.items():
            if name.startswith(start):
                raise UserError(f"{path}: {error}: {remedy}") from None
        raise UserError(f"{path}: damaged ({error}): put back a copy of it") from None


_REMEDIES = {
    "SQLITE_BUSY": "another program holds it: close that first",
    "SQLITE_LOCKED": "another program holds it: close that first",
    "SQLITE_FULL": "nothing was written: free some space",
    "SQLITE_READONLY": "check its permissions",
    "SQLITE_CANTOPEN": "check that it is there, and its permissions",
    "SQLITE_PERM": "check its permissions",
    "SQLITE_IOERR": "check the disk",
}


def insert(connection: sqlite3.Connection, event: Event) -> int:
    """Add ``event``, whose own ``seq`` is not looked at; the number it has."""
    values = [
        json.dumps(value) if name in _LISTS else value
        for name, value in ((name, getattr(event, name)) for name in _COLUMNS)
    ]
    values[_COLUMNS.index("seq")] = None
    return int(connection.execute(_INSERT, values).lastrowid or 0)


def select(connection: sqlite3.Connection, where: str, values: Sequence[Any]) -> list[Event]:
    """The events that fit the SQL ``where``, which comes from this package alone."""
    return [_event(row) for row in connection.execute(f"{_SELECT} {where}", values)]


def _event(row: Sequence[Any]) -> Event:
    values = dict(zip(_COLUMNS, row, strict=True))
    for name in _LISTS:
        values[name] = tuple(json.loads(values[name]))
    return Event(**values)
