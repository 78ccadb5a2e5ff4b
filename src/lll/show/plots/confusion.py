"""The confusion matrix."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from lll import words
from lll.show.plots.style import new_figure, plain

if TYPE_CHECKING:
    from matplotlib.figure import Figure

NUMBERED_MOST = 15
"""Classes whose cells have room for a number."""
NAMED_MOST = 40
"""Classes whose names have room on an axis."""


def confusion(counts: NDArray[np.int64], names: Sequence[str]) -> Figure:
    """Percent of each true class (row) that is taken for each class (column).

    ``counts`` [classes, classes] of images; a class without images has an empty row.
    """
    classes = len(names)
    totals = counts.sum(axis=1, keepdims=True)
    percent = 100.0 * counts / np.maximum(totals, 1)
    side = float(np.clip(0.55 * classes, 3.0, 8.0)) + 2.0
    figure = new_figure(side, side - 0.8)
    axes = figure.subplots()
    shown = axes.imshow(percent, cmap="Blues", vmin=0, vmax=100)
    figure.colorbar(shown, ax=axes, label="% of the true class", shrink=0.8)
    if classes <= NUMBERED_MOST:
        for (row, column), value in np.ndenumerate(percent):
            if counts[row, column]:
                colour = "white" if value > 55 else "black"
                text = f"{value:.0f}"
                axes.text(column, row, text, ha="center", va="center", color=colour, fontsize=9)
    every = -(-classes // NAMED_MOST)
    ticks = range(0, classes, every)
    labels = [plain(names[at]) for at in ticks]
    size = 10 if classes <= NUMBERED_MOST else 6
    axes.set_xticks(ticks, labels, rotation=45, ha="right", rotation_mode="anchor", fontsize=size)
    axes.set_yticks(ticks, labels, fontsize=size)
    right = counts.trace() / max(counts.sum(), 1)
    axes.set(xlabel="predicted class", ylabel="true class")
    axes.set_title(
        f"Confusion on {words.count(counts.sum(), 'test image')}: {words.percent(right)} right"
    )
    return figure
