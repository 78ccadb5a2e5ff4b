"""What goes on in the background: features, the model, the next questions, the map."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from queue import SimpleQueue
from threading import Event, Thread
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from lll.errors import UserError, one_line
from lll.label.gallery import Gallery
from lll.label.places import plane
from lll.label.session import NONE, Session
from lll.label.twins import twins
from lll.labels.select import STRATEGIES, Candidates

if TYPE_CHECKING:
    from lll.label.tutor import Lesson, Tutor
    from lll.methods.features.space import Space

STRATEGY = "auto"
QUEUE = 20  # questions chosen at a time
STALE = 10  # labels since the choice, after which a new one is made
PAUSE_S = 1.0  # without an answer, after which there is time for more than the next one
WAIT_S, CALM_S = 1.0, 5.0
GROWTH = 1.5  # space and map are made anew when so many times more images have features


@dataclass(frozen=True)
class Layout:
    """The images ``at`` [m] that had features at a ``moment`` of encoding, and their ``space``."""

    at: NDArray[np.intp]
    space: Space
    moment: int


class Worker:
    """Three threads beside the server.

    One encodes images; one lays them out, as a space, a graph and a map; one fits the model after
    each answer and chooses what to ask, and never waits for the others.
    """

    def __init__(self, session: Session, cache: Path | None) -> None:
        self._session, self._cache = session, cache
        self._stamps: list[bytes] = []  # of the images as they were encoded
        self._ready = np.zeros(0, dtype=bool)
        self._features = np.empty((0, 0), dtype=np.float16)
        self._moment = 0  # grows with every feature
        self._done = False  # every image there is has been looked at
        self._layout: Layout | None = None
        self._chosen_at = (0, -1)  # labels, and the layout's moment, when the queue was chosen
        self._stop, self._lay = Event(), Event()
        self._wanted: SimpleQueue[int | None] = SimpleQueue()
        self._threads = [
            Thread(target=self._guarded, args=(work,), daemon=True)
            for work in (self._encode, self._lay_out, self._follow)
        ]

    def start(self) -> None:
        """Begin."""
        for thread in self._threads:
            thread.start()

    def stop(self) -> None:
        """End after the piece of work that is going on; seconds, where there are many images."""
        self._stop.set()
        for flag in (self._session.wake, self._session.scanned, self._lay):
            flag.set()
        for thread in self._threads:
            thread.join(timeout=60)  # one that is left brings the process down when it ends

    def discover(self, new: int | None) -> None:
        """Look for ``new`` classes that nobody has named (None: estimate), when there is time."""
        self._wanted.put(new)
        self._session.wake.set()

    def similar(self, image: int, most: int = 500) -> list[int]:
        """The images most like ``image``, by the angle of their points; itself first."""
        layout = self._layout
        here = 0 if layout is None else int(np.searchsorted(layout.at, image))
        if layout is None or here == len(layout.at) or layout.at[here] != image:
            return [image]
        points = layout.space.near.numpy()
        near = np.argsort(-(points @ points[here]), kind="stable")[:most]
        return [image, *(other for other in layout.at[near].tolist() if other != image)]

    def _guarded(self, work: Callable[[], None]) -> None:
        """``work``; what ends it is said on the page, which goes on without it."""
        try:
            work()
        except Exception as error:
            self._session.fault = one_line(str(error)) or type(error).__name__
            self._session.changed()
            if not isinstance(error, UserError):
                raise

    # Features

    def _encode(self) -> None:
        while not self._stop.is_set():
            self._session.scanned.clear()
            gallery = self._session.gallery
            self._make_room(gallery)
            self._done = self._encode_all(gallery)
            self._lay.set()
            while self._done and not (self._stop.is_set() or self._session.scanned.wait(WAIT_S)):
                pass

    def _make_room(self, gallery: Gallery) -> None:
        """Rows for the images that are new; those whose file is another now are to be encoded."""
        old, stamps = self._stamps, [photo.stamp for photo in gallery.photos]
        same = [one == other for one, other in zip(old, stamps, strict=False)]
        more = len(stamps) - len(old)
        self._features = np.pad(self._features, ((0, more), (0, 0)))
        self._ready = np.pad(self._ready & np.array(same, dtype=bool), (0, more))
        self._stamps = stamps
        self._session.encoded = int(self._ready.sum())

    def _encode_all(self, gallery: Gallery) -> bool:
        """Encode what has no features; False if the folder was looked through again meanwhile."""
        from lll.label.encoding import encoded  # torch takes seconds, and the page does not wait

        session = self._session
        wanted = ~self._ready
        wanted[list(session.broken)] = False
        for rows, features, broken in encoded(gallery, wanted, self._cache, session.seed):
            if self._stop.is_set() or session.gallery is not gallery:
                return False
            if not self._features.shape[1]:
                self._features = np.zeros((len(self._ready), features.shape[1]), np.float16)
            self._features[rows] = features
            self._ready[rows] = True
            self._moment += 1
            with session.lock:
                session.broken |= broken
                session.encoded = int(self._ready.sum())
                session.changed()
            self._lay.set()
        return session.gallery is gallery

    # Space, graph and map

    def _lay_out(self) -> None:
        compared = mapped = -1  # moments
        while not self._stop.is_set():
            self._lay.wait()
            self._lay.clear()
            self._renew()
            layout = self._layout
            if layout is None or not self._done or layout.moment != self._moment:
                continue
            if compared != layout.moment:
                compared = layout.moment
                self._compare(layout)
            if mapped != layout.moment and not self._lay.is_set():
                mapped = layout.moment
                self._draw_map(layout)

    def _renew(self) -> None:
        """Bring space, graph and map to the newest features, where these are many more or all."""
        import torch

        from lll.label.encoding import last_features
        from lll.methods.features.space import fit_space

        moment, done, before = self._moment, self._done, self._layout
        at = np.flatnonzero(self._ready)
        known = 0 if before is None else len(before.at)
        late = before is None or before.moment != moment
        if len(at) < 2 or not (len(at) >= GROWTH * known or done) or not late:
            return
        features = torch.from_numpy(self._features[at])
        layout = Layout(at, fit_space(features, features[None], last_features()), moment)
        self._place(layout, layout.space.near[:, :2].numpy())
        if before is None:
            self._take(layout)
        layout.space.graph  # noqa: B018 - seconds; until it is there the model has the last one
        self._take(layout)

    def _take(self, layout: Layout) -> None:
        self._layout = layout
        self._session.wake.set()

    def _place(self, layout: Layout, points: NDArray[np.float32]) -> None:
        """Show ``points`` [m, 2] as the map."""
        session = self._session
        with session.lock:
            places = np.full((len(session.gallery), 2), np.nan, dtype=np.float32)
            places[layout.at] = plane(points)
            session.places = places
            session.maps += 1
            session.changed()

    def _compare(self, layout: Layout) -> None:
        groups = twins(layout.space.near.numpy())
        self._session.twins = [int(layout.at[row]) for group in groups for row in group]
        self._session.changed()

    def _draw_map(self, layout: Layout) -> None:
        from lll.label.neighbours import NEIGHBOURS, AbsentError, neighbours_stay

        session, points = self._session, layout.space.near.numpy()
        if len(points) <= NEIGHBOURS or self._stop.wait(CALM_S) or self._is_late():
            return  # the model has the cores first
        session.note_map("Neighbours are being brought together …")
        note = ""
        try:
            found = neighbours_stay(points, session.seed, self._is_late)
            if found is not None:
                self._place(layout, found)
                note = "UMAP: neighbours stay together."
        except AbsentError:
            note = "Principal components: pip install umap-learn for a map that keeps neighbours."
        except OSError as error:
            note = f"Principal components: {error}."
        session.note_map(note)

    def _is_late(self) -> bool:
        return self._stop.is_set() or self._lay.is_set()

    # The model and the questions

    def _follow(self) -> None:
        tutor = None
        while not self._stop.is_set():
            woken = self._session.wake.wait(PAUSE_S)
            self._session.wake.clear()
            layout = self._layout
            if layout is None or self._stop.is_set():
                continue
            if tutor is None:
                from lll.label.model import warm_up  # torch again
                from lll.label.tutor import Tutor

                warm_up()
                tutor = Tutor(self._session)
            self._catch_up(tutor, layout, woken)

    def _catch_up(self, tutor: Tutor, layout: Layout, woken: bool) -> None:
        """Bring model and questions to the newest labels; with time left, do more."""
        lesson = self._lesson(layout)
        new = tutor.teach(lesson)
        self._choose(layout, lesson.targets)
        if not self._wanted.empty():
            self._discover(layout, lesson.targets, self._wanted.get())
        elif not (new or woken):
            tutor.ponder(lesson, lambda: self._stop.is_set() or self._session.wake.is_set())

    def _lesson(self, layout: Layout) -> Lesson:
        from lll.label.tutor import Lesson

        with self._session.lock:
            targets, classes = self._session.targets()[layout.at], self._session.state.live()
        return Lesson(layout.space, layout.at, targets, tuple(classes))

    def _discover(self, layout: Layout, targets: NDArray[np.int64], new: int | None) -> None:
        import torch

        from lll.label.encoding import last_features
        from lll.runs.discover import Pool, discover, proposal_events

        session = self._session
        features = torch.from_numpy(self._features[layout.at])[:, : last_features()]
        present, column = np.unique(targets[targets >= 0], return_inverse=True)
        known = np.full(len(targets), NONE)
        known[targets >= 0] = column
        names = tuple(session.state.live()[int(class_id)] for class_id in present)
        paths = np.array([session.gallery.photos[row].path for row in layout.at])
        nothing = np.empty((0, 1, 1, 3), dtype=np.uint8)
        pool = Pool("the folder", features, features[None], known, names, paths, nothing, None)
        session.busy = "discovering"
        session.changed()
        try:
            found = discover(pool, new, session.seed)
            session.propose(proposal_events(pool, found, session.state))
        except UserError as error:
            session.notice = str(error)
        finally:
            session.busy = ""
            session.changed()

    def _choose(self, layout: Layout, targets: NDArray[np.int64]) -> None:
        """Fill the queue where it runs out, or where it was chosen from much less."""
        session, labels = self._session, int((targets >= 0).sum())
        before, moment = self._chosen_at
        enough = len(session.queue) >= QUEUE // 4 and labels < before + STALE
        if enough and layout.moment == moment:
            return
        guess = session.guess
        candidates = Candidates(
            layout.space.near.numpy(),
            targets,
            None if guess is None else guess.probabilities[layout.at],
            session.closed()[layout.at],
        )
        if not len(candidates.open):
            return
        generator = np.random.default_rng([session.seed, 2, labels])
        picked = STRATEGIES[STRATEGY](candidates, QUEUE, generator)
        self._chosen_at = labels, layout.moment
        with session.lock:
            session.queue = deque(layout.at[picked].tolist())
