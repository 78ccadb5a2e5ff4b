"""The report: what run folders hold, in one HTML file that needs nothing else."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lll.config import RunConfig
from lll.data.imageset import DataSet
from lll.errors import UserError
from lll.runs import assess
from lll.runs.files import check_target, write_whole
from lll.runs.record import Run, load_run
from lll.runs.train import data_of
from lll.show.pictures import PICTURES, Material, draw
from lll.show.plots.examples import Mistake, mistakes_of, most_confident
from lll.show.plots.page import Html, page, picture, side_by_side, table, tag, thumbnail
from lll.show.plots.save import picture_bytes
from lll.words import NOTHING, count, decimal, percent, points, reasons

EXAMPLES, MISTAKEN_CLASSES = 12, 3
HISTORY_ROWS = 30
_WIDE = {"umap", "pca-2d", "pca-3d"}
Load = Callable[[RunConfig], DataSet]


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


def report(
    runs: Sequence[str | Path | Run],
    out: str | Path = "report.html",
    *,
    load: Load = data_of,
    on_run: Callable[[str], None] = lambda name: None,
) -> list[str]:
    """Write one HTML file about ``runs`` to ``out``; returns what is missing, one line each.

    Several runs stand side by side. Figures are those of RUN/evaluation.json, which is made
    where it is not there; the pictures are of the latest checkpoint. A run without test
    labels, or one that is not finished, shows what it has, and the report says what is
    missing. ``load`` gives the data set of a configuration; ``on_run`` is called with the
    name of each run before it is looked at. Raises UserError for a run without a finished
    epoch and if ``out`` cannot be written.
    """
    loaded = [run if isinstance(run, Run) else load_run(run) for run in runs]
    if not loaded:
        raise UserError("give one run folder or more to report on")
    for run in loaded:
        # Asked for before minutes of drawing: it raises where there is nothing to report.
        _ = run.result
    out = Path(out)
    check_target(out)
    load = _once(load)
    shown = []
    for name, run in zip(_names(loaded), loaded, strict=True):
        on_run(name)
        shown.append(_look_at(name, run, load))
    write_whole(out, _document(shown).encode())
    return [note for one in shown for note in one.notes]


def _once(load: Load) -> Load:
    """``load``, but runs on the same data share it."""
    kept: dict[tuple[Any, ...], DataSet] = {}

    def loader(config: RunConfig) -> DataSet:
        key = (config.data, config.image_size, config.test_share)
        if key not in kept:
            kept[key] = load(config)
        return kept[key]

    return loader


def _names(runs: Sequence[Run]) -> list[str]:
    """A short name for each run: its folder's, or its path where two have the same."""
    names = [run.path.absolute().name for run in runs]
    alike = Counter(names)
    return [
        name if alike[name] == 1 else str(run.path) for name, run in zip(names, runs, strict=True)
    ]


def _look_at(name: str, run: Run, load: Load) -> Shown:
    material = Material(run, data=lambda: load(run.config))
    missing: dict[str, str] = {}
    figures: Mapping[str, Any] = {}
    try:
        figures = _figures(run, load)
        missing |= figures["missing"]
    except UserError as error:
        missing["figures"] = str(error)
    pictures = _pictures(material, missing)
    try:
        examples = _examples(material)
    except UserError as error:
        missing["examples"] = str(error)
        examples = _note(missing, "examples")
    return Shown(name, run, figures, pictures, examples, _history(run), missing)


def _figures(run: Run, load: Load) -> Mapping[str, Any]:
    """The figures in the run folder, made and kept there if they are not."""
    try:
        kept = json.loads((run.path / assess.EVALUATION).read_text(encoding="utf-8"))
        # What another version wrote is made anew.
        needed = ["missing", *(path for _, path, _ in _FIGURES)]
        if all(_dig(kept, path) is not _ABSENT for path in needed):
            return dict(kept)
    except (OSError, ValueError):
        pass
    assess.check_finished(run)
    figures = assess.evaluate(run, data=load(run.config))
    assess.save_evaluation(run, figures)
    return figures


def _pictures(material: Material, missing: dict[str, str]) -> dict[str, bytes]:
    """Every picture that can be drawn, as PNG."""
    pictures = {}
    for key, drawn in draw(material, list(PICTURES)):
        if isinstance(drawn, UserError):
            missing[f"picture {key}"] = str(drawn)
        else:
            pictures[key] = picture_bytes(drawn, "png")
    return pictures


def _caption(key: str) -> str:
    """What a picture shows: the first line of the documentation of its function."""
    return (PICTURES[key].__doc__ or key).strip().splitlines()[0].removesuffix(".")


def _note(missing: Mapping[str, str], what: str) -> Html:
    return tag("p", f"No {what}: {missing[what]}", class_="missing")


# Example images.


def _examples(material: Material) -> Html:
    """The most confident right and wrong ones, and what each class is mistaken for."""
    if not (material.labels >= 0).any():
        raise UserError(f"{material.run.path}: no test image has a label to compare with")
    return Html(
        _row(material, "Most confident, right", right=True)
        + _row(material, "Most confident, wrong", right=False)
        + tag("h3", "What each class is mistaken for")
        + _mistaken_table(material)
    )


def _row(material: Material, title: str, *, right: bool) -> Html:
    probabilities, labels = material.encoded.probabilities, material.labels
    at = most_confident(probabilities, labels, right=right, count=EXAMPLES)
    shown = tag("div", *(_thumbnail(material, i) for i in at), class_="thumbs")
    return Html(tag("h3", title) + (shown if len(at) else tag("p", "None.", class_="note")))


def _thumbnail(material: Material, at: int) -> Html:
    """A test image, with what it is, what it is taken for, and how surely."""
    names, label, predicted = material.class_names, material.labels[at], material.predicted[at]
    sure = percent(material.encoded.probabilities[at, predicted], 0)
    caption = f"{names[label]}, {sure}"
    if label != predicted:
        caption = f"{names[label]} taken for {names[predicted]}, {sure}"
    image = np.asarray(material.prepared.test_images[int(at)])
    return thumbnail(image, f"test image: {caption}", caption)


def _mistaken_table(material: Material) -> Html:
    probabilities, labels = material.encoded.probabilities, material.labels
    rows = []
    for c, name in enumerate(material.class_names):
        total = int((labels == c).sum())
        right = int(((labels == c) & (material.predicted == c)).sum())
        mistakes = mistakes_of(c, probabilities, labels, MISTAKEN_CLASSES)
        cells = [_mistake(material, mistake, total) for mistake in mistakes]
        empty = [""] * (MISTAKEN_CLASSES - len(cells))
        rows.append([name, str(total), percent(right / total if total else None), *cells, *empty])
    head = ["true class", "images", "right", "most often taken for", "then for", "then for"]
    return table(
        head,
        rows,
        "Percent of the true class's test images, with the most confident mistake of each kind",
    )


def _mistake(material: Material, mistake: Mistake, total: int) -> Html:
    name = material.class_names[mistake.other]
    share = f"{name}, {percent(mistake.count / total, 0)}"
    image = np.asarray(material.prepared.test_images[mistake.surest])
    true = material.class_names[int(material.labels[mistake.surest])]
    return tag(
        "div", thumbnail(image, f"test image: {true} taken for {name}", share), class_="thumbs"
    )


# Tables.

_ABSENT = object()


_FIGURES: tuple[tuple[str, str, Callable[[Any], str]], ...] = (
    ("checkpoint", "checkpoint", str),
    ("test accuracy", "accuracy.all", percent),
    ("… classes represented so far", "accuracy.represented", percent),
    ("… novel classes", "accuracy.novel", percent),
    ("linear probe on frozen encodings", "latent.linear_probe", percent),
    ("5 nearest neighbours", "latent.knn.5", percent),
    ("20 nearest neighbours", "latent.knn.20", percent),
    ("k-means: NMI", "latent.kmeans.nmi", decimal),
    ("k-means: ARI", "latent.kmeans.ari", decimal),
    ("k-means: matched accuracy", "latent.kmeans.matched_accuracy", percent),
    ("silhouette of the true classes", "latent.silhouette.true", decimal),
    ("silhouette of the clusters", "latent.silhouette.kmeans", decimal),
    ("forgetting, percentage points", "course.forgetting", points),
    ("area under accuracy against labels", "course.area_under_labels", decimal),
)
"""What the table of figures shows: a row's name, where in evaluation.json, how it is written."""


def _dig(figures: Any, path: str) -> Any:
    for key in path.split("."):
        if not isinstance(figures, Mapping) or key not in figures:
            return _ABSENT
        figures = figures[key]
    return figures


def _result_table(shown: Sequence[Shown]) -> Html:
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


def _figures_table(shown: Sequence[Shown]) -> Html:
    rows = []
    for name, path, written in _FIGURES:
        values = [_dig(one.figures, path) for one in shown]
        rows.append([name, *(NOTHING if v is _ABSENT else written(v) for v in values)])
    return table(["", *(one.name for one in shown)], rows, "Figures of the network and its course")


def _per_class_table(shown: Sequence[Shown]) -> Html:
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


def _config_table(shown: Sequence[Shown]) -> Html:
    """Every setting; with several runs, those that differ first and marked."""
    configs = [one.run.config.to_dict() for one in shown]
    values = {name: [str(c.get(name, NOTHING)) for c in configs] for name in RunConfig.model_fields}
    differ = [name for name, given in values.items() if len(set(given)) > 1]
    same = [name for name in values if name not in differ]
    rows = [[f"≠ {name}" if name in differ else name, *values[name]] for name in [*differ, *same]]
    caption = "Configuration" + (", what differs first (≠)" if len(shown) > 1 else "")
    return table(["setting", *(one.name for one in shown)], rows, caption)


def _history(run: Run) -> Html:
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


# The document.


def _document(shown: Sequence[Shown]) -> str:
    several = len(shown) > 1
    title = " · ".join(one.name for one in shown)
    intro = tag("p", _summary(shown), class_="note")
    lines = [tag("p", note, class_="missing") for one in shown for note in one.notes]
    sections = {
        "Comparison" if several else "Result": Html(
            "".join(lines) + side_by_side([_result_table(shown), _per_class_table(shown)])
        ),
        "Figures": _figures_table(shown),
        "Pictures": _all_pictures(shown),
        "Examples": _each(shown, lambda one: one.examples),
        "Label history": _each(shown, lambda one: one.history),
        "Configuration": _config_table(shown),
    }
    return page(f"{'Runs' if several else 'Run'} {title}", intro, sections)


def _summary(shown: Sequence[Shown]) -> str:
    one = shown[0]
    if len(shown) > 1:
        return f"{len(shown)} runs of Little Label Learners, side by side."
    result = one.run.result
    return (
        f"{one.run.config.method} on {one.run.data.name}: "
        f"{percent(result['test_accuracy_final'])} of the test images right after "
        f"{result['epochs']} epochs with {count(result['labels_known'])} of "
        f"{count(one.run.data.train)} labels known."
    )


def _all_pictures(shown: Sequence[Shown]) -> Html:
    """Each picture under its heading; those of one run in two columns, where they are narrow."""
    blocks = []
    for key in PICTURES:
        heading, pictures = tag("h3", _caption(key)), [_picture(one, key) for one in shown]
        if len(shown) > 1:
            blocks.append(tag("div", heading, _columns(shown, pictures), class_="row"))
        else:
            blocks.append(tag("div", heading, *pictures, class_="row" if key in _WIDE else ""))
    return side_by_side(blocks)


def _picture(one: Shown, key: str) -> Html:
    if key not in one.pictures:
        return _note(one.missing, f"picture {key}")
    alt = f"{_caption(key)}. Run {one.name}."
    return picture(one.pictures[key], alt, wide=key in _WIDE)


def _each(shown: Sequence[Shown], part: Callable[[Shown], Html]) -> Html:
    parts = [part(one) for one in shown]
    return parts[0] if len(shown) == 1 else _columns(shown, parts)


def _columns(shown: Sequence[Shown], parts: Sequence[Html]) -> Html:
    """One part of each run next to each other, under the runs' names."""
    return side_by_side(
        [tag("div", tag("h4", one.name), part) for one, part in zip(shown, parts, strict=True)]
    )
