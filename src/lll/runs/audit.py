"""How good a folder's labels show a model to be: images drawn at random, predicted unseen.

An audit is a label whose image was drawn uniformly, and predicted before it was shown. So the
share of audits that were right is an honest accuracy where nobody set images aside for test.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from lll.labels.store import State, has_store, open_store
from lll.metrics.wilson import wilson
from lll.words import count, percent

LAST = 60  # older audits are of older models
LEAST = 30  # fewer say too little


@dataclass(frozen=True)
class Audited:
    """The ``n`` latest audits, of which ``right`` were predicted right."""

    n: int
    right: int

    @property
    def interval(self) -> tuple[float, float]:
        """The 95 % interval of the accuracy."""
        return wilson(self.right, self.n)

    def __str__(self) -> str:
        if self.n < LEAST:
            return f"{count(self.n, 'audited label')}: no verdict under {LEAST}"
        low, high = self.interval
        return (
            f"{percent(self.right / self.n)} of the last {self.n} audited labels predicted right "
            f"(95% interval {percent(low)} to {percent(high)})"
        )


def audited(state: State) -> Audited:
    """The last `LAST` audits of ``state``, by the labels and classes of now."""
    right = [right for _, right in state.audited()][-LAST:]
    return Audited(len(right), sum(right))


def audited_in(folder: str) -> Audited | None:
    """The audits in the store of ``folder``; None where there are none."""
    if not has_store(Path(folder)):
        return None
    with open_store(folder, write=False) as store:
        found = audited(store.state())
    return found if found.n else None
