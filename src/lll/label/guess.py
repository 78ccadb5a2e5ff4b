"""What the model says of every image, as one value that is swapped as a whole."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, replace

import numpy as np
from jaxtyping import Float
from numpy.typing import NDArray


@dataclass(frozen=True)
class Guess:
    """What model ``name``, which ``learner`` fitted to ``labels`` labels, says of n images.

    ``classes`` [c] are class ids, those of the columns of ``probabilities`` [n, c]; ``known``
    [n] marks the images that it has seen, whose features were there.
    """

    name: str
    learner: str
    labels: int
    classes: tuple[int, ...]
    probabilities: Float[np.ndarray, "n c"]
    known: NDArray[np.bool_]

    @property
    def present(self) -> NDArray[np.bool_]:
        """Which of the classes had a label [c]."""
        found: NDArray[np.bool_] = self.probabilities.max(axis=0, initial=0) > 0
        return found

    def grown(self, count: int, changed: Collection[int] = ()) -> Guess:
        """The same for ``count`` images, of which the last and the ``changed`` were not seen."""
        more = count - len(self.known)
        known = np.concatenate([self.known, np.zeros(more, dtype=bool)])
        known[list(changed)] = False
        return replace(
            self, probabilities=np.pad(self.probabilities, ((0, more), (0, 0))), known=known
        )

    def ranked(self, image: int, without: Collection[int] = ()) -> list[tuple[int, float]]:
        """Class ids and probabilities of ``image``, likeliest first; none if it was not seen."""
        if not self.known[image]:
            return []
        shares = self.probabilities[image].astype(float)
        order = np.argsort(-shares, kind="stable").tolist()
        return [
            (self.classes[at], float(shares[at])) for at in order if self.classes[at] not in without
        ]

    def best(self) -> tuple[NDArray[np.int16], NDArray[np.uint8]]:
        """Of each image the likeliest class id, -1 for none, and its probability in 1/255."""
        at = self.probabilities.argmax(axis=1)
        shares = self.probabilities[np.arange(len(at)), at]
        ids = np.array(self.classes, dtype=np.int16)[at]
        return (
            np.where(self.known, ids, np.int16(-1)),
            np.where(self.known, np.round(255 * shares), 0).astype(np.uint8),
        )
