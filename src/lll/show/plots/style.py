"""What the pictures share: a figure, colours that most people can tell apart, plain text."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from lll.words import visible

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

# Colours of Okabe and Ito and of Paul Tol, chosen and ordered so that any two of the first k
# lie far apart in Lab for normal sight, protanopia, deuteranopia and tritanopia alike.
CLASS_COLOURS = (
    "#332288",
    "#DDCC77",
    "#661100",
    "#88CCEE",
    "#EE3377",
    "#000000",
    "#E69F00",
    "#AA4499",
    "#117733",
    "#44AA99",
    "#D55E00",
    "#882255",
)
NO_COLOUR = "#C9C9C9"
LINE_COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
"""Okabe and Ito's, for lines."""
LINE_STYLES = ("-", "--", ":", "-.")
NAME_MOST = 24
"""Characters of a class name that fit a legend."""
UNLABELLED_NAME = "no label"


def new_figure(width: float, height: float) -> Figure:
    """An empty figure of ``width`` x ``height`` inches, apart from pyplot's state."""
    # Here and not above: matplotlib costs half a second that `lll schedule` need not pay.
    from matplotlib.figure import Figure

    return Figure(figsize=(width, height), layout="constrained")


def whole_numbers(axes: Axes, *, x: bool = True, y: bool = False) -> None:
    """Ticks only at whole numbers."""
    from matplotlib.ticker import MaxNLocator

    if x:
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    if y:
        axes.yaxis.set_major_locator(MaxNLocator(integer=True))


def plain(name: str, most: int = NAME_MOST) -> str:
    r"""A user's ``name`` as one line of text that matplotlib shows unchanged, not as mathematics.

    >>> plain("a $x$ b"), plain("a" * 40, most=5)
    ('a \\$x\\$ b', 'aaaa…')
    """
    text = visible(" ".join(name.split()))
    text = text if len(text) <= most else text[: most - 1] + "…"
    # A legend leaves out what begins with an underscore.
    text = f" {text}" if text.startswith("_") else text
    return text.replace("$", r"\$")


def curve(values: Sequence[float | None]) -> NDArray[np.float64]:
    """``values`` with gaps, for drawing, where there are none."""
    return np.array([np.nan if value is None else value for value in values], dtype=np.float64)


@dataclass(frozen=True)
class ClassColours:
    """Colours and names of the groups that a picture tells apart.

    ``group_of`` [classes] says which group a class is shown in; ``names`` and ``colours``
    belong to the groups. The last group may be that of all other classes.
    """

    group_of: NDArray[np.intp]
    names: tuple[str, ...]
    colours: tuple[str, ...]

    def of(self, labels: NDArray[np.int64]) -> NDArray[np.str_]:
        """A colour for each of ``labels`` [n]; grey for -1."""
        palette = np.array([*self.colours, NO_COLOUR])
        groups = np.where(labels < 0, len(self.colours), self.group_of[labels])
        return np.asarray(palette[groups])

    def handles(self, unlabelled: bool = False) -> list[Any]:
        """Legend entries, with one for images without a label if there are any."""
        from matplotlib.lines import Line2D

        entries = [*zip(self.names, self.colours, strict=True)]
        if unlabelled:
            entries.append((UNLABELLED_NAME, NO_COLOUR))
        return [
            Line2D([], [], color=colour, label=name, linestyle="", marker="o", markersize=6)
            for name, colour in entries
        ]


def class_colours(names: Sequence[str], labels: NDArray[np.int64]) -> ClassColours:
    """A colour per class; with too many classes, grey for all but the most frequent ones.

    More than a dozen colours cannot be told apart. ``labels`` [n] say which classes are
    frequent; of equals the first are coloured.
    """
    most = len(CLASS_COLOURS)
    shown = tuple(plain(name) for name in names)
    if len(names) <= most:
        return ClassColours(np.arange(len(names)), shown, CLASS_COLOURS[: len(names)])
    counts = np.bincount(labels[labels >= 0], minlength=len(names))
    coloured = np.sort(np.argsort(-counts, kind="stable")[: most - 1])
    group_of = np.full(len(names), most - 1)
    group_of[coloured] = np.arange(most - 1)
    return ClassColours(
        group_of,
        (*(shown[c] for c in coloured), f"{len(names) - most + 1} other classes"),
        (*CLASS_COLOURS[: most - 1], NO_COLOUR),
    )
