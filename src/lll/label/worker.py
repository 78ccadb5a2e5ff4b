"""What goes on in the background: features, the model, the next questions, the map."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from pathlib import Path
from threading import Event, Thread
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from lll.errors import UserError, one_line
from lll.label.guess import Guess
from lll.label.places import plane
from lll.label.session import NONE, Session
from lll.label.twins import twins
from lll.labels.select import STRATEGIES, Candidates

if TYPE_CHECKING:
    from lll.methods.features.space import Space

STRATEGY = "auto"
QUEUE = 20  # questions chosen at a time
STALE = 10  # labels since the choice, after which a new one is made
IDLE_S = 1.0
GROWTH = 1.5  # space and map are made anew when so many times more images have features


class Worker:
    """Two threads beside the server: one encodes, the other fits, chooses and draws the map."""

    def __init__(self, session: Session, cache: Path | None) -> None:
        self._session, self._cache = session, cache
        n = len(session.gallery)
        self._features = np.empty((n, 0), dtype=np.float16)
        self._ready = np.zeros(n, dtype=bool)
        self._stop = Event()
        self._at = np.empty(0, dtype=np.intp)  # the images of the space
        self._space: Space | None = None
        self._fitted_to = (-1, 0)  # the store's events and the images of the space
        self._chosen_at = 0  # labels when the queue was chosen
        self._fits = 0
        self._compared = False
        self._wanted = Event()  # proposals of new classes
        self._threads = [
            Thread(target=self._guarded, args=(work,), daemon=True)
            for work in (self._encode, self._follow)
        ]

    def start(self) -> None:
        """Begin."""
        for thread in self._threads:
            thread.start()

    def stop(self) -> None:
        """End after the piece of work that is going on; at most a few seconds."""
        self._stop.set()
        self._session.wake.set()
        for thread in self._threads:
            thread.join(timeout=10)

    def discover(self) -> None:
        """Look for classes that nobody has named, when there is time."""
        self._wanted.set()
        self._session.wake.set()

    def similar(self, image: int, most: int = 500) -> list[int]:
        """The images most like ``image``, by the angle of their points; itself first."""
        at, space = self._at, self._space
        here = int(np.searchsorted(at, image))
        if space is None or here == len(at) or at[here] != image:
            return [image]
        points = space.points.numpy()
        near = np.argsort(-(points @ points[here]), kind="stable")[:most]
        return [image, *(other for other in at[near].tolist() if other != image)]

    def _guarded(self, work: Callable[[], None]) -> None:
        """``work``; what ends it is said on the page, which goes on without it."""
        try:
            work()
        except Exception as error:
            self._session.fault = one_line(str(error)) or type(error).__name__
            self._session.changed()
            if not isinstance(error, UserError):
                raise

    def _encode(self) -> None:
        from lll.label.encoding import encoded  # torch takes seconds, and the page does not wait

        session = self._session
        for rows, features, broken in encoded(session.gallery, self._cache, session.seed):
            if self._stop.is_set():
                return
            if not self._features.shape[1]:
                self._features = np.zeros((len(self._ready), features.shape[1]), np.float16)
            self._features[rows] = features
            self._ready[rows] = True
            with session.lock:
                session.broken |= broken
                session.encoded = int(self._ready.sum())
                session.changed()
            session.wake.set()

    def _follow(self) -> None:
        while not self._stop.is_set():
            self._session.wake.wait(IDLE_S)
            self._session.wake.clear()
            if self._ready.any() and not self._stop.is_set():
                self._catch_up()

    def _catch_up(self) -> None:
        """Bring space, map, model and questions to the newest features and labels."""
        count = int(self._ready.sum())
        done = count + len(self._session.broken) == len(self._ready)
        if count > 1 and (count >= GROWTH * len(self._at) or (done and count > len(self._at))):
            self._look()
        if self._space is None:
            return
        targets = self._session.targets()
        now = (self._session.state.seq, len(self._at))
        if now != self._fitted_to:
            self._fit(self._space, targets)
            self._fitted_to = now
        self._choose(self._space, targets)
        if done and not self._compared:
            self._compared = True
            groups = twins(self._space.points.numpy())
            self._session.twins = [int(self._at[row]) for group in groups for row in group]
            self._session.changed()
        if self._wanted.is_set():
            self._wanted.clear()
            self._discover(self._space, targets)

    def _look(self) -> None:
        """Lay out the images that have features by now: their space, and its map."""
        import torch

        from lll.methods.features.space import fit_space

        at = np.flatnonzero(self._ready)
        features = torch.from_numpy(self._features[at])
        self._space = fit_space(features, features[None])
        self._at = at
        places = np.full((len(self._ready), 2), np.nan, dtype=np.float32)
        places[at] = plane(self._space.points[:, :2].numpy())
        with self._session.lock:
            self._session.places = places
            self._session.changed()

    def _fit(self, space: Space, targets: NDArray[np.int64]) -> None:
        from lll.label.model import fit

        session = self._session
        with session.lock:
            classes = tuple(session.state.live())
        known = targets[self._at]
        count = int((known >= 0).sum())
        if len(np.unique(known[known >= 0])) < 2:
            if session.guess is not None:
                session.guess = None
                session.changed()
            return
        session.busy = "fitting"
        session.changed()
        column = np.full(max(classes) + 2, NONE)  # the last is that of no label
        column[list(classes)] = np.arange(len(classes))
        shares = np.zeros((len(targets), len(classes)), dtype=np.float32)
        found = fit(space, column[known], len(classes), session.seed)
        shares[self._at] = found.probabilities
        seen = np.zeros(len(targets), dtype=bool)
        seen[self._at] = True
        self._fits += 1
        with session.lock:
            session.guess = Guess(f"logistic-{count}-{self._fits}", count, classes, shares, seen)
            session.doubtful = self._at[found.doubtful].tolist()
            session.gain = found.gain
            session.busy = ""
            session.changed()

    def _discover(self, space: Space, targets: NDArray[np.int64]) -> None:
        import torch

        from lll.runs.discover import Pool, discover, proposal_events

        session, at = self._session, self._at
        features = torch.from_numpy(self._features[at])
        present, column = np.unique(targets[at][targets[at] >= 0], return_inverse=True)
        known = np.full(len(at), NONE)
        known[targets[at] >= 0] = column
        names = tuple(session.state.live()[int(class_id)] for class_id in present)
        paths = np.array([session.gallery.photos[row].path for row in at])
        nothing = np.empty((0, 1, 1, 3), dtype=np.uint8)
        pool = Pool("the folder", features, features[None], known, names, paths, nothing, None)
        session.busy = "discovering"
        session.changed()
        try:
            found = discover(pool, None, session.seed)
            session.propose(proposal_events(pool, found, session.state))
        except UserError as error:
            session.notice = str(error)
        finally:
            session.busy = ""
            session.changed()

    def _choose(self, space: Space, targets: NDArray[np.int64]) -> None:
        """Fill the queue where it runs out, or where it was chosen from much less."""
        session, labels = self._session, int((targets >= 0).sum())
        if len(session.queue) >= QUEUE // 4 and labels < self._chosen_at + STALE:
            return
        at, guess = self._at, session.guess
        candidates = Candidates(
            space.points.numpy(),
            targets[at],
            guess.probabilities[at] if guess is not None else None,
            session.closed()[at],
        )
        if not len(candidates.open):
            return
        generator = np.random.default_rng([session.seed, 2, labels])
        picked = STRATEGIES[STRATEGY](candidates, QUEUE, generator)
        self._chosen_at = labels
        with session.lock:
            session.queue = deque(at[picked].tolist())
