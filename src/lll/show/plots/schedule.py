"""The schedule: classes, labels and learning rates against the epoch, as planned and as run."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from lll.show.plots.style import new_figure, whole_numbers

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

Rows = Sequence[Mapping[str, Any]]
_RATES = (
    ("contrastive_rate", "encoder and projection head", "#009E73", "-"),
    # Dashed, so that the other shows where they coincide.
    ("probe_rate", "probe", "#D55E00", "--"),
)


def schedule(planned: Rows, as_run: Rows = ()) -> Figure:
    """Draw a plan, one mapping per epoch as `lll.learn.prepare.plan_rows` gives.

    Three panels over the epoch: classes represented, images with and without a label, and
    the learning rates. ``as_run``, the metrics of the epochs that are done, is drawn on top
    as dots: they lie on the plan's lines where the run kept to it.
    """
    figure = new_figure(7.0, 7.5)
    classes, pools, rates = figure.subplots(3, 1, sharex=True)
    _draw_classes(classes, planned, as_run)
    _draw_pools(pools, planned, as_run)
    _draw_rates(rates, planned, as_run)
    whole_numbers(rates)
    figure.align_ylabels()
    if as_run:
        done, total = len(as_run), len(planned)
        figure.suptitle(f"Schedule as planned and, in dots, as run ({done} of {total} epochs)")
    return figure


def _draw_classes(axes: Axes, planned: Rows, as_run: Rows) -> None:
    axes.step(_epochs(planned), _values(planned, "classes"), where="mid", color="#0072B2")
    _dots(axes, as_run, _values(as_run, "classes"), "#0072B2")
    axes.set(ylabel="classes represented", ylim=(0, None))
    whole_numbers(axes, x=False, y=True)


def _draw_pools(axes: Axes, planned: Rows, as_run: Rows) -> None:
    labelled, unlabelled = (_values(planned, key) for key in ("labels_known", "unlabelled"))
    axes.stackplot(
        _epochs(planned),
        labelled,
        unlabelled,
        labels=["labelled", "unlabelled"],
        colors=["#0072B2", "#D9D9D9"],
    )
    if len(planned) == 1:
        # A band needs two epochs to be seen.
        axes.bar(_epochs(planned), labelled, color="#0072B2")
        axes.bar(_epochs(planned), unlabelled, bottom=labelled, color="#D9D9D9")
    known = _values(as_run, "labels_known")
    both = [a + b for a, b in zip(known, _values(as_run, "unlabelled"), strict=True)]
    _dots(axes, as_run, known, "#003F6B")
    _dots(axes, as_run, both, "#777777")
    axes.set(ylabel="training images", ylim=(0, None))
    axes.legend(loc="lower right")


def _draw_rates(axes: Axes, planned: Rows, as_run: Rows) -> None:
    for key, name, colour, style in _RATES:
        axes.plot(_epochs(planned), _values(planned, key), style, label=name, color=colour)
        _dots(axes, as_run, _values(as_run, key), colour)
    # A rate of zero, which freezes its modules, has no logarithm.
    positive = all(value > 0 for key, *_ in _RATES for value in _values(planned, key))
    axes.set(ylabel="learning rate", xlabel="epoch", yscale="log" if positive else "linear")
    axes.legend(loc="best")


def _dots(axes: Axes, rows: Rows, values: list[float], colour: str) -> None:
    # An empty line that is not clipped would stretch the layout to nothing.
    if rows:
        axes.plot(_epochs(rows), values, "o", color=colour, markersize=4, clip_on=False)


def _epochs(rows: Rows) -> list[int]:
    """Epochs as they are counted for people, from one."""
    return [row["epoch"] + 1 for row in rows]


def _values(rows: Rows, key: str) -> list[float]:
    return [row[key] for row in rows]
