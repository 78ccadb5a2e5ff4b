"""Accuracy against labels known: what did each further label bring?"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from lll.show.plots.style import curve, new_figure, whole_numbers

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_LOG_FROM = 20  # times as many labels at the end as at the start


def accuracy_against_labels(metrics: Sequence[Mapping[str, Any]]) -> Figure:
    """Test accuracy after every epoch over the labels known in it, in the order of the run.

    ``metrics`` as in `Run.metrics`, with a test accuracy. A dot's colour is its epoch: where
    labels stand still, dots lie above one another.
    """
    labels = np.array([row["labels_known"] for row in metrics])
    scores = curve([row["test_accuracy"] for row in metrics])
    represented = curve([row.get("test_accuracy_represented") for row in metrics])
    figure = new_figure(7.0, 4.6)
    axes = figure.subplots()
    axes.plot(labels, represented, "--", color="#E69F00", linewidth=1.2)
    axes.plot(labels, represented, "^", color="#E69F00", markersize=4, label="represented classes")
    axes.plot(labels, scores, color="#AAAAAA", linewidth=1, zorder=1)
    epochs = [row["epoch"] + 1 for row in metrics]
    dots = axes.scatter(labels, scores, c=epochs, cmap="viridis", zorder=3, label="all classes")
    if len(metrics) > 1:
        bar = figure.colorbar(dots, ax=axes, label="epoch")
        whole_numbers(bar.ax, x=False, y=True)
    if labels.min() > 0 and labels.max() >= _LOG_FROM * labels.min():
        axes.set_xscale("log")
    axes.set(xlabel="training labels known", ylabel="test accuracy", ylim=(0, 1))
    axes.set_title("Accuracy against labels known")
    axes.grid(alpha=0.3)
    axes.legend(loc="best")
    return figure
