"""Learning curves: losses and accuracies against the epoch."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from lll.show.plots.style import LINE_COLOURS, LINE_STYLES, curve, new_figure, whole_numbers

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

Metrics = Sequence[Mapping[str, Any]]
_NAMES = {
    "train_accuracy": "training batches",
    "validation_accuracy": "validation",
    "test_accuracy": "test, all classes",
    "test_accuracy_represented": "test, represented classes",
    "test_accuracy_novel": "test, novel classes",
    "contrastive_accuracy": "contrast: paired view first",
}


def learning(metrics: Metrics, chosen: int | None) -> Figure:
    """Two panels over the epoch: every loss, every accuracy.

    ``metrics`` holds one mapping per epoch (`Run.metrics`); a figure may be missing in some.
    ``chosen`` is the epoch chosen on validation, counted from 0.
    """
    figure = new_figure(8.0, 6.6)
    losses, accuracies = figure.subplots(2, 1, sharex=True)
    keys = list(dict.fromkeys(key for row in metrics for key in row))
    _draw(losses, metrics, {k: k.removesuffix("_loss") for k in keys if k.endswith("_loss")})
    scores = [k for k in keys if k in _NAMES or k.endswith("_accuracy")]
    _draw(accuracies, metrics, {k: _NAMES.get(k, k.replace("_", " ")) for k in scores})
    if chosen is not None:
        for axes in (losses, accuracies):
            axes.axvline(chosen + 1, color="#777777", linewidth=1, linestyle=(0, (1, 2)))
        accuracies.plot(
            [], [], color="#777777", linewidth=1, linestyle=(0, (1, 2)), label="chosen epoch"
        )
    losses.set(ylabel="loss, mean over the epoch")
    accuracies.set(xlabel="epoch", ylabel="accuracy", ylim=(-0.02, 1.02))
    whole_numbers(accuracies)
    for axes in (losses, accuracies):
        axes.grid(alpha=0.3)
        if axes.lines:  # a method that fits has no loss
            axes.legend(loc="upper left", bbox_to_anchor=(1.0, 1.0), frameon=False)
    figure.suptitle("Learning curves")
    return figure


def _draw(axes: Axes, metrics: Metrics, named: Mapping[str, str]) -> None:
    epochs = [row["epoch"] + 1 for row in metrics]
    for number, (key, name) in enumerate(named.items()):
        axes.plot(
            epochs,
            curve([row.get(key) for row in metrics]),
            LINE_STYLES[number % len(LINE_STYLES)],
            color=LINE_COLOURS[number % len(LINE_COLOURS)],
            label=name,
            # Without it a run of one epoch would show nothing.
            marker="o",
            markersize=3,
        )
