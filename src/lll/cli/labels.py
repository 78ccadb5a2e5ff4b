"""``lll labels``: a folder's own labels, from a file, to a file, and by hand."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from lll.cli.flags import Json, names_in_help
from lll.cli.terminal import say, say_json
from lll.errors import UserError, nearest
from lll.words import count, listed

if TYPE_CHECKING:
    from lll.labels.store import Event, Proposal, State, Store

Folder = Annotated[Path, typer.Argument(metavar="FOLDER", help="A folder of images.")]
Batch = Annotated[
    str | None, typer.Argument(metavar="[BATCH]", help="As `lll labels history` shows it.")
]
ProposalName = Annotated[
    str, typer.Argument(metavar="PROPOSAL", help="Its name, as in new-1, or its number.")
]
SHORT = 8  # characters of a batch that are shown


def import_(
    folder: Folder,
    table: Annotated[Path, typer.Argument(metavar="FILE.csv", help="Columns path and label.")],
) -> None:
    """Add the labels of a CSV; one `lll labels undo` takes them all back."""
    from lll.data.exchange import import_labels

    labels, classes = import_labels(folder, table)
    say(f"{count(labels, 'new label')}, {count(classes, 'new class', 'new classes')}")
    say(f"next: lll train {folder}")


@names_in_help(formats="lll.data.exchange:FORMATS")
def export(
    folder: Folder,
    out: Annotated[Path, typer.Option(help="A file, or a new folder of class folders.")],
    form: Annotated[
        str | None,
        typer.Option("--format", help="One of the formats (as the name of OUT ends)."),
    ] = None,
    link: Annotated[
        bool, typer.Option("--link", help="Hard links in the class folders instead of copies.")
    ] = False,
) -> None:
    """Write the labels: path, class, who gave it and when.

    Formats: {formats}, folders.
    """
    from lll.data.exchange import FOLDERS, FORMATS, as_folders, format_of, labels_of_folder
    from lll.labels.store import open_store
    from lll.runs.files import check_target, write_whole

    form = form or format_of(out)
    if form not in (*FORMATS, FOLDERS):
        raise UserError(f"--format {form!r}: {nearest(form, (*FORMATS, FOLDERS))}")
    if form in FORMATS:
        check_target(out)
        rows = labels_of_folder(folder)
        write_whole(out, FORMATS[form][1](rows))
    else:
        rows = labels_of_folder(folder)
        as_folders(rows, folder, out, link=link)
    with open_store(folder, write=False) as store:
        say(f"{out}: {_own(len(rows), store.state(), folder)}")


def history(
    folder: Folder,
    last: Annotated[int, typer.Option(min=1, help="How many events to show.")] = 20,
    as_json: Json = False,
) -> None:
    """Show what there is, and the last events: who said what, and when."""
    from dataclasses import asdict

    from lll.labels.store import open_store

    with open_store(folder, write=False) as store:
        state, events = store.state(), store.history(since=max(0, store.state().seq - last))
    if as_json:
        for event in events:
            say_json({**asdict(event), "is_undone": event.batch in state.undone})
        return
    _say_state(state, folder)
    for event in events:
        say(_line(event, state))


def merge(
    folder: Folder,
    name: Annotated[str, typer.Argument(metavar="CLASS", help="The class to merge.")],
    into: Annotated[str, typer.Argument(metavar="INTO", help="The class that it becomes.")],
) -> None:
    """Make one class an alias of another."""
    with _store(folder) as store:
        state = store.state()
        _append(store, "merge", class_id=_class(state, name), into=_class(state, into))
    say(f"{name!r} is {into!r} now; `lll labels undo {folder}` takes it back")


def rename(
    folder: Folder,
    name: Annotated[str, typer.Argument(metavar="CLASS", help="A class.")],
    new: Annotated[str, typer.Argument(metavar="NAME", help="Its new name.")],
) -> None:
    """Give a class another name."""
    with _store(folder) as store:
        _append(store, "rename", class_id=_class(store.state(), name), name=new)
    say(f"{name!r} is called {new!r} now")


def name(
    folder: Folder,
    proposal: ProposalName,
    name: Annotated[str, typer.Argument(metavar="NAME", help="A class, new or not.")],
) -> None:
    """Say what class a proposal of `lll discover` is: its images get that label."""
    with _store(folder) as store:
        found = _proposal(store.state(), proposal)
        event = _append(store, "name", proposal=found.id, name=name)
    say(f"{proposal} is {event.name!r}: {count(len(event.images), 'new label')}")
    say(f"next: lll train {folder}, or lll update RUN if you have a run on it")


def reject(folder: Folder, proposal: ProposalName) -> None:
    """Say that a proposal is no class."""
    with _store(folder) as store:
        _append(store, "reject", proposal=_proposal(store.state(), proposal).id)
    say(f"{proposal} is gone")


def undo(folder: Folder, batch: Batch = None) -> None:
    """Take back the last thing that was done, or an earlier BATCH."""
    _reverse(folder, batch, "undo")


def redo(folder: Folder, batch: Batch = None) -> None:
    """Take back the last undo, or that of BATCH."""
    _reverse(folder, batch, "redo")


def _reverse(folder: Path, batch: str | None, op: str) -> None:
    from lll.labels.store import told

    with _store(folder) as store:
        which = None if batch is None else _batch(store, batch)
        event = getattr(store, op)(which)
        about = next(e for e in store.history() if e.batch == event.undone)
        state = store.state()
    images = f", {count(len(event.images), 'image')}" if event.images else ""
    say(f"{op}: {told(about, state)}{images} (batch {event.undone[:SHORT]})")


@contextmanager
def _store(folder: Path) -> Iterator[Store]:
    """The store of ``folder``, which is there, to write into."""
    from lll.labels.store import has_store, open_store

    if folder.is_dir() and not has_store(folder):
        raise UserError(f"{folder}: has no labels of its own yet: add some first")
    with open_store(folder, write=True) as store:
        yield store


def _append(store: Store, op: str, **given: Any) -> Event:
    from lll.labels.store import Event

    return store.append([Event(op, **given)])[0]


def _class(state: State, name: str) -> int:
    class_id = state.named(name)
    if class_id is None:
        hint = nearest(name, state.live().values()) if state.classes else "there is none yet"
        raise UserError(f"no class {name!r}: {hint}")
    return class_id


def _proposal(state: State, name: str) -> Proposal:
    """The open proposal with that name or number; of several the latest."""
    found = [p for p in state.proposals.values() if name in (p.name, str(p.id))]
    if not found:
        known = [p.name for p in state.proposals.values()]
        hint = nearest(name, known) if known else "there is none; `lll discover` makes some"
        raise UserError(f"no open proposal {name!r}: {hint}")
    return found[-1]


def _batch(store: Store, start: str) -> str:
    found = {event.batch for event in store.history() if event.batch.startswith(start)}
    if len(found) != 1 or not start:
        what = f"{len(found)} batches begin" if found else "no batch begins"
        raise UserError(f"{what} with {start!r}: see `lll labels history`")
    return found.pop()


def _own(labels: int, state: State, folder: Path) -> str:
    """How many ``labels`` the store has; those that class folders give are not among them."""
    folders = sum((folder / name).is_dir() for name in state.live().values())
    beside = f", beside those of {count(folders, 'class folder')}" if folders else ""
    return f"{count(labels, 'label')}{beside}"


def _say_state(state: State, folder: Path) -> None:
    counts = dict.fromkeys(state.live().values(), 0)
    for label in state.labels.values():
        counts[state.classes[state.resolved(label.class_id)].name] += 1
    classes = listed((f"{name} {number}" for name, number in counts.items()), 20)
    labels = _own(len(state.labels), state, folder)
    say(f"{labels}; {count(len(counts), 'class', 'classes')}: {classes}")
    if state.proposals:
        open_ = (f"{p.name} {count(len(p.images), 'image')}" for p in state.proposals.values())
        say(f"proposals: {listed(open_, 20)}")


def _line(event: Event, state: State) -> str:
    """Batch, when, who, what and which images."""
    from datetime import datetime

    from lll.labels.store import told

    when = datetime.fromtimestamp(event.time).strftime("%Y-%m-%d %H:%M")
    who = event.actor if event.origin == "person" else event.origin
    images = f": {listed(event.images, 2)}" if event.images else ""
    mark = " (undone)" if event.batch in state.undone else ""
    return f"{event.batch[:SHORT]}  {when}  {who}  {told(event, state)}{images}{mark}"
