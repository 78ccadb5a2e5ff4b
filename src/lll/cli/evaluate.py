"""``lll evaluate``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.markup import escape

from lll.cli.flags import Cache, Json, RunFolder
from lll.cli.show import load_with_bar, say_json

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table

MATRIX_CLASSES = 12  # more do not fit 80 columns
COURSE_ROWS = 12


def evaluate(
    run: RunFolder,
    checkpoint: Annotated[
        str, typer.Option(help="latest (the final epoch), chosen (on validation), or epoch-0003.")
    ] = "latest",
    cache: Cache = None,
    as_json: Json = False,
) -> None:
    """Judge a finished run: accuracy, latent space, forgetting. Writes RUN/evaluation.json."""
    from rich.console import Console

    from lll.runs import assess, load_run

    loaded = load_run(run)
    assess.check_finished(loaded)
    data = load_with_bar(loaded.config.data, loaded.config, cache=cache, quiet=as_json)
    with Console(stderr=True).status("encoding the images, then scoring the encodings"):
        figures = assess.evaluate(loaded, checkpoint=checkpoint, data=data)
    path = assess.save_evaluation(loaded, figures)
    if as_json:
        say_json(figures)
        return
    say_figures(figures)
    Console(highlight=False).print(f"written to {path}", soft_wrap=True)


def say_figures(figures: dict[str, Any]) -> None:
    """Print the figures of `lll.runs.assess.evaluate` as tables."""
    from rich.console import Console

    console = Console(highlight=False)
    _say_accuracy(console, figures)
    _say_classes(console, figures)
    if len(figures["class_names"]) <= MATRIX_CLASSES:
        _say_confusion(console, figures)
    _say_latent(console, figures)
    _say_course(console, figures["course"])


def _say_accuracy(console: Console, figures: dict[str, Any]) -> None:
    scores, count = figures["accuracy"], figures["images"]["test"]
    title = f"Test accuracy of {figures['checkpoint']}, {count} images"
    table = _table("classes", "share")
    for name in ("all", "represented", "novel"):
        table.add_row(name, _percent(scores[name]))
    table.add_row("final epoch, all, on record", _percent(scores["final"]))
    if scores["chosen_epoch"] is not None:
        chosen = f"epoch {scores['chosen_epoch'] + 1}, chosen on validation, all, on record"
        table.add_row(chosen, _percent(scores["chosen"]))
    _say(console, title, table)


def _say_classes(console: Console, figures: dict[str, Any]) -> None:
    names, counts = figures["class_names"], figures["accuracy"]["confusion"]
    table = _table("class", "images", "accuracy", "forgotten")
    table.add_column("most mistaken for")
    for at, name in enumerate(names):
        table.add_row(
            escape(name),
            str(sum(counts[at])),
            _percent(figures["accuracy"]["per_class"][name]),
            _points(figures["course"]["forgetting_per_class"][name]),
            _most_mistaken(names, counts[at], at),
        )
    _say(console, "Per class; forgotten in percentage points", table)


def _most_mistaken(names: list[str], row: list[int], at: int) -> str:
    wrong = [0 if other == at else count for other, count in enumerate(row)]
    most = max(wrong)
    return f"{escape(names[wrong.index(most)])} ({100 * most / sum(row):.0f}%)" if most else "–"


def _say_confusion(console: Console, figures: dict[str, Any]) -> None:
    """True classes down, predicted ones across, in percent of the true class."""
    names = figures["class_names"]
    numbers = [str(at) for at in range(len(names))]
    table = _table("", *numbers)
    for at, (name, row) in enumerate(zip(names, figures["accuracy"]["confusion"], strict=True)):
        total = sum(row)
        cells = [f"{100 * count / total:.0f}" if count else "·" for count in row]
        cells[at] = f"[bold]{cells[at]}[/bold]"
        table.add_row(name if name == str(at) else f"{at} {escape(name[:20])}", *cells)
    _say(console, "Confusion: of each true class (row), % predicted as (column)", table)


def _say_latent(console: Console, figures: dict[str, Any]) -> None:
    latent, images = figures["latent"], figures["images"]
    k_means, silhouettes = latent["kmeans"], latent["silhouette"]
    fitted = f"fitted to {images['train']} training images"
    table = _table("figure", "value")
    table.add_column("how")
    table.add_row("linear probe", _percent(latent["linear_probe"]), f"logistic, {fitted}")
    for k, share in latent["knn"].items():
        table.add_row(f"{k} nearest neighbours", _percent(share), f"accuracy, {fitted}")
    clusters = f"{k_means['clusters']} clusters of {images['test']} test images"
    table.add_row("k-means NMI", _number(k_means["nmi"]), clusters)
    table.add_row("k-means ARI", _number(k_means["ari"]), "chance is 0")
    table.add_row(
        "k-means matched", _percent(k_means["matched_accuracy"]), "best one-to-one naming"
    )
    where = f"{silhouettes['images']} test images, -1 to 1"
    table.add_row("silhouette, classes", _number(silhouettes["true"]), where)
    table.add_row("silhouette, clusters", _number(silhouettes["kmeans"]), where)
    _say(console, "Latent space", table)


def _say_course(console: Console, course: dict[str, Any]) -> None:
    table = _table("epoch", "classes", "labels", "test accuracy")
    epochs = len(course["labels_known"])
    every = -(-epochs // COURSE_ROWS)
    for epoch in range(epochs):
        if epoch % every == 0 or epoch == epochs - 1:
            table.add_row(
                str(epoch + 1),
                str(course["classes"][epoch]),
                str(course["labels_known"][epoch]),
                _percent(course["test_accuracy"][epoch]),
            )
    _say(console, "Accuracy against labels known", table)
    table = _table("figure", "value")
    table.add_row("area under accuracy against labels", _number(course["area_under_labels"]))
    table.add_row("forgetting, percentage points", _points(course["forgetting"]))
    table.add_row("seconds per epoch", f"{course['seconds_per_epoch']:.1f}")
    _say(console, "Over the run", table)


def _table(first: str, *others: str) -> Table:
    """An empty table with its first column to the left and the others, numbers, to the right."""
    from rich import box
    from rich.table import Table

    table = Table(box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0))
    table.add_column(first)
    for heading in others:
        table.add_column(heading, justify="right", no_wrap=True)
    return table


def _say(console: Console, title: str, table: Table) -> None:
    """Print a table under its title, which may be wider."""
    console.print(title, style="bold")
    console.print(table)


def _percent(share: float | None) -> str:
    return "–" if share is None else f"{100 * share:.1f}%"


def _points(share: float | None) -> str:
    return "–" if share is None else f"{100 * share:+.1f}"


def _number(value: float | None) -> str:
    return "–" if value is None else f"{value:.3f}"
