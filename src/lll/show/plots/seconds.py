"""Seconds per epoch, training and evaluating."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from lll.show.plots.style import new_figure, whole_numbers

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def seconds(timings: Sequence[Mapping[str, Any]]) -> Figure:
    """One bar per epoch; ``timings`` as a run records them (`Run.timings`), in seconds."""
    epochs = [timing["epoch"] + 1 for timing in timings]
    whole = np.array([timing["seconds"] for timing in timings])
    evaluated = np.array([timing["evaluate_seconds"] for timing in timings])
    figure = new_figure(7.0, 3.8)
    axes = figure.subplots()
    axes.bar(epochs, whole - evaluated, label="training", color="#0072B2")
    axes.bar(epochs, evaluated, bottom=whole - evaluated, label="evaluating", color="#E69F00")
    axes.axhline(whole.mean(), color="black", linestyle=":", linewidth=1, label="mean")
    axes.set(xlabel="epoch", ylabel="seconds", ylim=(0, 1.25 * whole.max()))
    axes.set_title(f"Seconds per epoch: {whole.mean():.1f} on average")
    whole_numbers(axes)
    axes.legend(loc="upper right", ncols=3)
    return figure
