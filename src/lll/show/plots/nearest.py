"""Images beside the labelled images that the network takes for the most alike."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from lll.show.plots.style import new_figure, plain

if TYPE_CHECKING:
    from matplotlib.figure import Figure

Shown = tuple[NDArray[np.uint8], str]
"""An image uint8 [h, w, 3], and what is written under it."""


def nearest(rows: Sequence[tuple[Shown, Sequence[Shown]]]) -> Figure:
    """One row per image: itself on the left, then the labelled images nearest to it."""
    most = max(len(near) for _, near in rows)
    figure = new_figure(1.5 * (most + 1), 1.8 * len(rows))
    panels = figure.subplots(len(rows), most + 1, squeeze=False)
    for cells, (image, near) in zip(panels, rows, strict=True):
        for axes, (pixels, text) in zip(cells, [image, *near], strict=False):
            axes.imshow(pixels)
            axes.set_title(plain(text), fontsize=7, loc="left")
        for axes in cells:
            axes.set_axis_off()
    return figure
