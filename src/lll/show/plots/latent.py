"""The latent space as clouds of points, coloured in several ways side by side."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from lll.show.plots.style import ClassColours, new_figure

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_PANEL = 4.4  # inches
_LEGEND_MOST = 7  # names in a row


def latent(
    points: NDArray[np.floating[Any]],
    colourings: Mapping[str, NDArray[np.int64]],
    colours: ClassColours,
    title: str,
    axis_names: tuple[str, ...],
) -> Figure:
    """One panel per colouring of ``points`` [n, 2] or [n, 3], with one legend for all.

    ``colourings`` maps a panel's title to a class index for each point [n], -1 for none;
    ``axis_names`` has one name per dimension.
    """
    flat = points.shape[1] == 2
    figure = new_figure(_PANEL * len(colourings), _PANEL + 1.2)
    # Drawn in one shuffled order: in the data's own, late classes would cover early ones.
    order = np.random.default_rng(0).permutation(len(points))
    for number, (name, labels) in enumerate(colourings.items()):
        axes: Any = figure.add_subplot(
            1, len(colourings), number + 1, projection=None if flat else "3d"
        )
        axes.scatter(
            *points[order].T,
            c=colours.of(labels)[order],
            s=_area(len(points)),
            alpha=0.6,
            linewidths=0,
            # Ten thousand circles would make an SVG of megabytes that no browser likes.
            rasterized=True,
            **({} if flat else {"depthshade": False}),
        )
        axes.set_title(name)
        if not flat:
            # Smaller than the panel, or the third axis loses its name.
            axes.set_box_aspect(None, zoom=0.85)
        _name_axes(axes, axis_names)
    unlabelled = any((labels < 0).any() for labels in colourings.values())
    handles = colours.handles(unlabelled)
    figure.legend(
        handles=handles,
        loc="outside lower center",
        # Rows of equal length.
        ncols=-(-len(handles) // -(-len(handles) // _LEGEND_MOST)),
        frameon=False,
    )
    figure.suptitle(title)
    return figure


def _area(count: int) -> float:
    """Marker area in points squared: 3 for ten thousand points, larger for fewer."""
    return float(np.clip(30_000 / max(count, 1), 3, 30))


def _name_axes(axes: Axes, names: tuple[str, ...]) -> None:
    """Names, but no numbers: the units of a latent space say nothing."""
    for letter, name in zip("xyz", names, strict=False):
        getattr(axes, f"set_{letter}label")(name)
        getattr(axes, f"set_{letter}ticks")([])
