"""Test accuracy against labels known: one line per method, with a band over seeds."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from lll.show.plots.style import LINE_COLOURS, LINE_STYLES, new_figure, plain

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def comparison(curves: Mapping[str, Sequence[Mapping[str, Any]]]) -> Figure:
    """``curves`` maps a title to its epochs: ``labels`` known, ``mean`` and ``std`` accuracy.

    The band is mean ± std over seeds; a method with one seed has none.
    """
    figure = new_figure(7.0, 4.5)
    axes = figure.subplots()
    for number, (title, epochs) in enumerate(curves.items()):
        colour = LINE_COLOURS[number % len(LINE_COLOURS)]
        style = LINE_STYLES[number // len(LINE_COLOURS) % len(LINE_STYLES)]
        labels = [epoch["labels"] for epoch in epochs]
        means = [epoch["mean"] for epoch in epochs]
        axes.plot(
            labels, means, style, color=colour, label=plain(title, 60), marker=".", markersize=4
        )
        if all(epoch["std"] is not None for epoch in epochs):
            low = [epoch["mean"] - epoch["std"] for epoch in epochs]
            high = [epoch["mean"] + epoch["std"] for epoch in epochs]
            axes.fill_between(labels, low, high, color=colour, alpha=0.2, linewidth=0)
    axes.set(xlabel="labels known", ylabel="test accuracy", ylim=(0, 1))
    axes.legend(loc="best")
    axes.grid(alpha=0.3)
    return figure
