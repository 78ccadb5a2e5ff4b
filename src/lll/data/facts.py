"""What a run remembers of its data."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class DataFacts:
    """Enough of a data set to predict without it and to know it again.

    ``validation`` counts the images set aside, whether their label is known or not.
    ``fingerprint`` is that of `lll.data.fingerprint`; ``labels`` is a hash of the labels, "" in
    runs of 0.1, whose fingerprint stood for both. ``seq`` is the last event of the folder's own
    store of labels at that time, 0 without one.
    """

    name: str
    class_names: tuple[str, ...]
    train: int
    validation: int
    test: int
    fingerprint: str
    labels: str = ""
    seq: int = 0

    @property
    def images(self) -> int:
        """How many images there are in all."""
        return self.train + self.validation + self.test
