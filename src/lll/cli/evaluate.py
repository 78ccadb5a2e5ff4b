"""``lll evaluate``."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from lll.cli.flags import Cache, Json, RunFolder
from lll.cli.loading import load_with_bar
from lll.cli.terminal import plain, say, say_json, say_table, working
from lll.words import NOTHING, count, percent, points, reasons

MATRIX_CLASSES = 12  # more do not fit 80 columns
COURSE_ROWS = 12
TITLES = {"course": "Over the run"}


def evaluate(
    run: RunFolder,
    checkpoint: Annotated[
        str, typer.Option(help="latest (the final epoch), chosen (on validation), or epoch-0003.")
    ] = "latest",
    cache: Cache = None,
    as_json: Json = False,
) -> None:
    """Judge a finished run: accuracy, latent space, forgetting. Writes RUN/evaluation.json."""
    from lll.runs import assess, load_run

    loaded = load_run(run)
    assess.check_finished(loaded)
    data = load_with_bar(loaded.config, cache=cache, quiet=as_json)
    with working("encoding the images, then scoring the encodings"):
        figures = assess.evaluate(loaded, checkpoint=checkpoint, data=data)
    path = assess.save_evaluation(loaded, figures)
    if as_json:
        say_json(figures)
        return
    say_figures(figures)
    say(f"written to {path}")


def say_figures(figures: dict[str, Any]) -> None:
    """Print the figures of `lll.runs.assess.evaluate` as tables."""
    from lll.runs.figures import FIGURES

    _say_accuracy(figures)
    if figures["audit"]:
        say(figures["audit"]["words"])
    _say_classes(figures)
    if len(figures["class_names"]) <= MATRIX_CLASSES:
        _say_confusion(figures)
    _say_course(figures["course"])
    for group in dict.fromkeys(path.split(".")[0] for path in FIGURES):
        _say_group(figures, group)
    for line in reasons(figures["missing"]):
        say(f"left out: {line}")


def _say_accuracy(figures: dict[str, Any]) -> None:
    scores, images = figures["accuracy"], figures["images"]["test"]
    rows = [(name, percent(scores[name])) for name in ("all", "represented", "novel")]
    rows.append(("final epoch, all, on record", percent(scores["final"])))
    if scores["chosen_epoch"] is not None:
        chosen = f"epoch {scores['chosen_epoch'] + 1}, chosen on validation, all, on record"
        rows.append((chosen, percent(scores["chosen"])))
    title = f"Test accuracy of {figures['checkpoint']}, {count(images, 'image')}"
    say_table(("classes", "share"), rows, title=title)


def _say_classes(figures: dict[str, Any]) -> None:
    names, counts = figures["class_names"], figures["accuracy"]["confusion"]
    rows = [
        (
            name,
            str(sum(counts[at])),
            percent(figures["accuracy"]["per_class"][name]),
            points(figures["course"]["forgetting_per_class"][name]),
            _most_mistaken(names, counts[at], at),
        )
        for at, name in enumerate(names)
    ]
    say_table(
        ("class", "images", "accuracy", "forgotten", "most mistaken for"),
        rows,
        left=("most mistaken for",),
        title="Per class; forgotten in percentage points",
    )


def _most_mistaken(names: list[str], row: list[int], at: int) -> str:
    wrong = [0 if other == at else number for other, number in enumerate(row)]
    most = max(wrong)
    return f"{names[wrong.index(most)]} ({percent(most / sum(row), 0)})" if most else NOTHING


def _say_confusion(figures: dict[str, Any]) -> None:
    """True classes down, predicted ones across, in percent of the true class."""
    names = figures["class_names"]
    rows = []
    for at, (name, row) in enumerate(zip(names, figures["accuracy"]["confusion"], strict=True)):
        total = sum(row)
        cells: list[Any] = [f"{100 * n / total:.0f}" if n else "·" for n in row]
        cells[at] = plain(cells[at], "bold")
        rows.append((name if name == str(at) else f"{at} {name[:20]}", *cells))
    say_table(
        ("", *map(str, range(len(names)))),
        rows,
        title="Confusion: of each true class (row), % predicted as (column)",
    )


def _say_group(figures: dict[str, Any], group: str) -> None:
    """The figures of `FIGURES` whose place begins with ``group``."""
    from lll.runs.figures import FIGURES, figure_at

    rows = [
        (figure.title, figure.written(figure_at(figures, path)), figure.how)
        for path, figure in FIGURES.items()
        if path.split(".")[0] == group
    ]
    say_table(("figure", "value", "how"), rows, left=("how",), title=_title(figures, group))


def _title(figures: dict[str, Any], group: str) -> str:
    if group != "latent":
        return TITLES.get(group, group)
    train, test = (figures["images"][side] for side in ("train", "test"))
    images = f"{count(train, 'training image')} and {count(test, 'test image')}"
    return f"Latent space of {images}"


def _say_course(course: dict[str, Any]) -> None:
    epochs = len(course["labels_known"])
    every = -(-epochs // COURSE_ROWS)
    rows = [
        (
            str(epoch + 1),
            str(course["classes"][epoch]),
            str(course["labels_known"][epoch]),
            percent(course["test_accuracy"][epoch]),
        )
        for epoch in range(epochs)
        if epoch % every == 0 or epoch == epochs - 1
    ]
    headings = ("epoch", "classes", "labels", "test accuracy")
    say_table(headings, rows, title="Accuracy against labels known")
