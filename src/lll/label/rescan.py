"""The folder is looked through again: photos that came, went, or are others under their names."""

from __future__ import annotations

import time
from threading import Event, Thread

from lll.errors import UserError
from lll.label.gallery import looked_through
from lll.label.moved import Followed, follow
from lll.label.session import Session
from lll.words import count

EVERY_S = 10.0
REST = 50  # times as long as a look takes is the least time to the next one


def rescan(session: Session) -> None:
    """Take in what is new in the folder, and say what it was.

    An image is known by its file; a label follows its image to a new place, and is taken away
    where another image lies under the name now. UserError for a folder that cannot be read.
    """
    before = session.gallery
    after = looked_through(before)
    with session.lock:
        followed = follow(after, session.store)
        session.take(after)
        there = [(one, two) for one, two in zip(before.photos, after.photos, strict=False)]
        told = _told(
            new=len(after) - len(before) + sum(one.gone and not two.gone for one, two in there),
            gone=sum(two.gone and not one.gone for one, two in there),
            changed=sum(
                one.stamp != two.stamp and not (one.gone or two.gone) for one, two in there
            ),
            followed=followed,
        )
        if told:
            session.news = told
            session.changed()


def _told(new: int, gone: int, changed: int, followed: Followed) -> str:
    said = {
        count(new, "new photo"): new,
        f"{count(gone, 'photo')} gone": gone,
        f"{count(changed, 'file')} written anew": changed,
        f"{count(followed.moved, 'label')} moved with the photo": followed.moved,
        f"{count(followed.lost, 'label')} taken away, because another photo lies there now": (
            followed.lost
        ),
    }
    return ", ".join(text for text, number in said.items() if number)


class Watcher:
    """A thread that looks through the folder at once, then now and then, and when asked to."""

    def __init__(self, session: Session) -> None:
        self._session = session
        self._asked, self._stop = Event(), Event()
        self._thread = Thread(target=self._watch, daemon=True)

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    def look(self) -> None:
        """Look now."""
        self._asked.set()

    def stop(self) -> None:
        """End after the look that is going on."""
        self._stop.set()
        self._asked.set()
        self._thread.join(timeout=10)

    def _watch(self) -> None:
        while not self._stop.is_set():
            before = time.perf_counter()
            self._asked.clear()
            try:
                rescan(self._session)
            except (UserError, OSError) as error:  # a file that went meanwhile, a full disk
                self._session.news = str(error)
                self._session.changed()
            self._asked.wait(max(EVERY_S, REST * (time.perf_counter() - before)))
