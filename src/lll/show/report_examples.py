"""The example images of the report: the surest right and wrong ones, and the mistakes."""

from __future__ import annotations

import numpy as np

from lll.errors import UserError
from lll.show.material import Material
from lll.show.plots.examples import Mistake, mistakes_of, most_confident
from lll.show.plots.page import Html, table, tag, thumbnail
from lll.words import percent

EXAMPLES, MISTAKEN_CLASSES = 12, 3


def examples_of(material: Material) -> Html:
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
