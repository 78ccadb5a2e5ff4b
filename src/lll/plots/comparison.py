"""Test accuracy against labels known: one line per method, with a band over seeds."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from matplotlib.figure import Figure

# Okabe and Ito's palette, told apart by most people with a colour-vision deficiency.
_COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
_STYLES = ("-", "--", ":", "-.")


def comparison(curves: Mapping[str, Sequence[Mapping[str, Any]]]) -> Figure:
    """``curves`` maps a title to its epochs: ``labels`` known, ``mean`` and ``std`` accuracy.

    The band is mean ± std over seeds; a method with one seed has none.
    """
    from matplotlib.figure import Figure

    figure = Figure(figsize=(7.0, 4.5), layout="constrained")
    axes = figure.subplots()
    for number, (title, epochs) in enumerate(curves.items()):
        colour = _COLOURS[number % len(_COLOURS)]
        style = _STYLES[number // len(_COLOURS) % len(_STYLES)]
        labels = [epoch["labels"] for epoch in epochs]
        means = [epoch["mean"] for epoch in epochs]
        axes.plot(labels, means, style, color=colour, label=title, marker=".", markersize=4)
        if all(epoch["std"] is not None for epoch in epochs):
            low = [epoch["mean"] - epoch["std"] for epoch in epochs]
            high = [epoch["mean"] + epoch["std"] for epoch in epochs]
            axes.fill_between(labels, low, high, color=colour, alpha=0.2, linewidth=0)
    axes.set(xlabel="labels known", ylabel="test accuracy", ylim=(0, 1))
    axes.legend(loc="best")
    axes.grid(alpha=0.3)
    return figure
