"""Random views beside the images that they show."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from lll.show.plots.style import new_figure, plain

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_GAP = 1 / 16  # of an image's side, between images


def views(
    originals: NDArray[np.uint8],
    strong: NDArray[np.floating[Any]],
    weak: NDArray[np.floating[Any]],
    names: Sequence[str],
) -> Figure:
    """One column per image, under its class name: the original, strong views, weak views.

    ``originals`` uint8 [n, h, w, 3]; ``strong`` and ``weak`` [views, n, h, w, 3] in [0, 1];
    ``names`` [n].
    """
    bands = {
        "original": originals[None] / 255.0,
        "strong views\n(contrast)": strong,
        "weak views\n(classify)": weak,
    }
    rows = [len(band) for band in bands.values()]
    figure = new_figure(1.05 * len(names) + 1.2, 1.05 * sum(rows) + 0.9)
    panels = figure.subplots(3, 1, height_ratios=rows)
    for axes, (title, band) in zip(panels, bands.items(), strict=True):
        axes.imshow(_mosaic(band), interpolation="nearest")
        axes.set(xticks=[], yticks=[])
        axes.set_ylabel(title, rotation=0, ha="right", va="center")
        axes.spines[:].set_visible(False)
    step = originals.shape[2] + _gap(originals.shape[2])
    panels[0].xaxis.tick_top()
    panels[0].set_xticks(
        [at * step + originals.shape[2] / 2 for at in range(len(names))],
        [plain(name, most=12) for name in names],
    )
    panels[0].tick_params(length=0)
    return figure


def _gap(side: int) -> int:
    return max(round(side * _GAP), 1)


def _mosaic(images: NDArray[np.floating[Any]]) -> NDArray[np.floating[Any]]:
    """``images`` [rows, columns, h, w, 3] as one image, with white gaps."""
    rows, columns, height, width, _ = images.shape
    down, right = _gap(height), _gap(width)
    padded = np.pad(images, ((0, 0), (0, 0), (0, down), (0, right), (0, 0)), constant_values=1.0)
    joined = padded.transpose(0, 2, 1, 3, 4).reshape(
        rows * (height + down), columns * (width + right), 3
    )
    return joined[:-down, :-right]
