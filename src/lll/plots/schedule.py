"""The schedule as planned: classes, labels and learning rates against the epoch."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any


def draw_schedule(rows: Sequence[Mapping[str, Any]], path: Path) -> Path:
    """Draw a plan, one mapping per epoch as `lll.prepare.plan_rows` gives, into ``path``.

    Three panels over the epoch: classes represented, images with and without a label, and
    the learning rates. The file's suffix (png, svg, pdf) says the format.
    """
    from matplotlib.figure import Figure
    from matplotlib.ticker import MaxNLocator

    epochs = [row["epoch"] for row in rows]
    figure = Figure(figsize=(7.0, 7.5), layout="constrained")
    classes, pools, rates = figure.subplots(3, 1, sharex=True)

    classes.step(epochs, [row["classes"] for row in rows], where="mid", color="#0072B2")
    classes.set(ylabel="classes represented", ylim=(0, None))
    classes.yaxis.set_major_locator(MaxNLocator(integer=True))

    pools.stackplot(
        epochs,
        [row["labels_known"] for row in rows],
        [row["unlabelled"] for row in rows],
        labels=["labelled", "unlabelled"],
        colors=["#0072B2", "#D9D9D9"],
    )
    pools.set(ylabel="training images")
    pools.legend(loc="lower right")

    # The probe's is dashed, so that the other shows where they coincide.
    for key, name, colour, style in (
        ("contrastive_rate", "encoder and projection head", "#009E73", "-"),
        ("probe_rate", "probe", "#D55E00", "--"),
    ):
        rates.plot(epochs, [row[key] for row in rows], style, label=name, color=colour)
    rates.set(ylabel="learning rate", xlabel="epoch", yscale="log")
    rates.legend(loc="best")
    rates.xaxis.set_major_locator(MaxNLocator(integer=True))
    figure.align_ylabels()
    figure.savefig(path, dpi=150)
    return path
