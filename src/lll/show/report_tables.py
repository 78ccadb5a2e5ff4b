"""The tables of the report: results, figures, classes, settings, labels."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lll.runs.figures import FIGURES, figure_at
from lll.runs.record import Run
from lll.show.plots.page import Html, table
from lll.words import NOTHING, count, percent, reasons

HISTORY_ROWS = 30


@dataclass(frozen=True)
class Shown:
    """One run as the report shows it.

    ``figures`` as in evaluation.json, ``pictures`` PNG by name; ``missing`` says what it
    lacks, and why.
    """

    name: str
    run: Run
    figures: Mapping[str, Any]
    pictures: Mapping[str, bytes]
    examples: Html
    history: Html
    missing: Mapping[str, str]

    @property
    def notes(self) -> list[str]:
        """What is missing, one line for each reason."""
        return [f"{self.name}: no {line}" for line in reasons(self.missing)]


_ROWS: tuple[tuple[str, str, Callable[[Any], str]], ...] = (
    ("checkpoint", "checkpoint", str),
    ("test accuracy", "accuracy.all", percent),
    ("… classes represented so far", "accuracy.represented", percent),
    ("… novel classes", "accuracy.novel", percent),
)
"""What the table of figures shows above `FIGURES`: name, place in evaluation.json, how written."""


def _rows() -> list[tuple[str, str, Callable[[Any], str]]]:
    return [*_ROWS, *((figure.title, at, figure.written) for at, figure in FIGURES.items())]


def has_all(figures: Any) -> bool:
    """Whether ``figures`` hold every one that is shown; those of another version may not."""
    try:
        for path in ["missing", *(path for _, path, _ in _rows())]:
            figure_at(figures, path)
    except KeyError:
        return False
    return True


def result_table(shown: Sequence[Shown]) -> Html:
    """What each run came to, and from what."""
    results = [one.run.result for one in shown]
    configs = [one.run.config for one in shown]
    rows: list[list[Any]] = [
        ["method", *(c.title for c in configs)],
        ["data", *(one.run.data.name for one in shown)],
        [
            "epochs done",
            *(f"{r['epochs']} of {c.epochs}" for r, c in zip(results, configs, strict=True)),
        ],
        ["labels known at the end", *(count(r["labels_known"]) for r in results)],
        ["training images", *(count(one.run.data.train) for one in shown)],
        ["test accuracy, final epoch", *(percent(r["test_accuracy_final"]) for r in results)],
        ["test accuracy, epoch chosen on validation", *map(_chosen, results)],
        ["seconds per epoch", *(f"{r['seconds_per_epoch']:.1f}" for r in results)],
        ["folder", *(str(one.run.path) for one in shown)],
    ]
    return table(["", *(one.name for one in shown)], rows, "Result")


def _chosen(result: Mapping[str, Any]) -> str:
    if result["chosen_epoch"] is None:
        return NOTHING
    return f"{percent(result['test_accuracy_chosen'])} (epoch {result['chosen_epoch'] + 1})"


def figures_table(shown: Sequence[Shown]) -> Html:
    """Every figure of each run."""
    rows = []
    for name, path, written in _rows():
        values = [figure_at(one.figures, path) if one.figures else None for one in shown]
        rows.append([name, *(NOTHING if value is None else written(value) for value in values)])
    return table(["", *(one.name for one in shown)], rows, "Figures of the network and its course")


def per_class_table(shown: Sequence[Shown]) -> Html:
    """Accuracy per class at the last epoch, for runs that may have different classes."""
    scores = [
        dict(
            zip(
                one.run.data.class_names,
                one.run.metrics[-1]["test_accuracy_per_class"],
                strict=True,
            )
        )
        for one in shown
    ]
    names = list(dict.fromkeys(name for classes in scores for name in classes))
    rows = [[name, *(percent(classes.get(name)) for classes in scores)] for name in names]
    return table(
        ["class", *(one.name for one in shown)], rows, "Test accuracy per class, last epoch"
    )


def config_table(shown: Sequence[Shown]) -> Html:
    """Every setting; with several runs, those that differ first and marked."""
    configs = [one.run.config.to_dict() for one in shown]
    names = dict.fromkeys(name for config in configs for name in config)
    values = {name: [str(c.get(name, NOTHING)) for c in configs] for name in names}
    differ = [name for name, given in values.items() if len(set(given)) > 1]
    same = [name for name in values if name not in differ]
    rows = [[f"≠ {name}" if name in differ else name, *values[name]] for name in [*differ, *same]]
    caption = "Configuration" + (", what differs first (≠)" if len(shown) > 1 else "")
    return table(["setting", *(one.name for one in shown)], rows, caption)


def history_of(run: Run) -> Html:
    """Labels known per epoch and class, and how many came from whom."""
    events = run.label_events()
    origins = Counter(event.origin for event in events)
    by_origin = table(
        ["origin", "labels"],
        [[origin, count(number)] for origin, number in origins.most_common()],
        f"{count(len(events), 'label')} became known",
    )
    classes = run.data.class_names
    new = np.zeros((len(run.metrics), len(classes)), dtype=np.int64)
    for event in events:
        # A label that arrived while an epoch was under way has no metrics yet.
        if event.epoch < len(new):
            new[event.epoch, event.label] += 1
    known = new.cumsum(axis=0)
    rows = [
        [
            str(epoch + 1),
            str(run.metrics[epoch]["classes"]),
            count(known[epoch].sum()),
            f"+{count(new[epoch].sum())}",
            *(count(number) if number else "·" for number in known[epoch]),
        ]
        for epoch in _telling(new)
    ]
    head = ["epoch", "classes", "labels", "new", *classes]
    caption = "Labels known per class, at epochs that brought new ones"
    return Html(by_origin + table(head, rows, caption))


def _telling(new: NDArray[np.int64]) -> list[int]:
    """Epochs that brought labels, ``new`` [epochs, classes]; every few of very many."""
    epochs = [int(epoch) for epoch in np.flatnonzero(new.any(axis=1))]
    every = -(-len(epochs) // HISTORY_ROWS)
    return [e for i, e in enumerate(epochs) if i % every == 0 or e == epochs[-1]]
