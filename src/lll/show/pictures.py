"""The pictures of a run: from a run folder to the arrays that each picture needs, to files."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from lll.data.imageset import DataSet
from lll.errors import UserError, lookup
from lll.learn.prepare import plan_rows
from lll.metrics.accuracy import confusion as count_confusion
from lll.metrics.nearest import nearest as find_nearest
from lll.runs.predict import encode
from lll.runs.record import Run, load_run
from lll.seeding import derive, torch_generator
from lll.show.material import Material
from lll.show.plots.confusion import confusion
from lll.show.plots.labels import accuracy_against_labels
from lll.show.plots.latent import latent
from lll.show.plots.learning import learning
from lll.show.plots.nearest import nearest
from lll.show.plots.save import save
from lll.show.plots.schedule import schedule
from lll.show.plots.seconds import seconds
from lll.show.plots.style import class_colours
from lll.show.plots.views import views
from lll.words import count, percent, reasons

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_LOG = logging.getLogger("lll")
VIEWED_IMAGES, VIEWS_EACH = 8, 3
EXPLAINED, NEAREST = 6, 5
"""Test images that are explained, and by how many labelled ones each."""
NEIGHBOURS = 15
"""Neighbours that UMAP keeps near each image."""


def draw_views(material: Material) -> Figure:
    """Strong and weak views beside the originals: the first training images, one per class."""
    prepared = material.prepared
    labels = prepared.train.truth
    firsts = np.flatnonzero(labels >= 0)[np.unique(labels[labels >= 0], return_index=True)[1]]
    shown = np.resize(firsts, min(VIEWED_IMAGES, len(firsts)))
    rows = torch.from_numpy(shown)
    images = torch.from_numpy(np.array(prepared.train_images[shown])).to(prepared.device)
    generator = torch_generator(prepared.device, prepared.config.seed, "pictures", "views")

    def some(view: Callable[..., torch.Tensor]) -> NDArray[np.float32]:
        drawn = [
            view(images.permute(0, 3, 1, 2), rows, len(rows), None).permute(0, 2, 3, 1)
            for _ in range(VIEWS_EACH)
        ]
        return torch.stack(drawn).cpu().numpy()

    names = [material.class_names[c] for c in labels[shown]]
    seen = prepared.image_views(generator)
    strong, weak = some(seen.strong), some(seen.weak)
    return views(images.cpu().numpy(), strong, weak, names)


def draw_pca_2d(material: Material) -> Figure:
    """The two directions in which the encodings of the test images differ most."""
    return _draw_pca(material, 2)


def draw_pca_3d(material: Material) -> Figure:
    """The three directions in which the encodings of the test images differ most."""
    return _draw_pca(material, 3)


def _draw_pca(material: Material, dimensions: int) -> Figure:
    from sklearn.decomposition import PCA

    encodings = _distinct(material, dimensions + 1, f"PCA in {dimensions} dimensions")
    if encodings.shape[1] < dimensions:
        raise UserError(
            f"{material.run.path}: encodings of {encodings.shape[1]} features have no "
            f"{dimensions} principal components"
        )
    model = PCA(dimensions, random_state=0)
    points = model.fit_transform(encodings)
    shares = model.explained_variance_ratio_
    names = tuple(f"component {i + 1} ({percent(s, 0)})" for i, s in enumerate(shares))
    return _draw_latent(material, points, f"PCA in {dimensions} dimensions", names)


def draw_umap(material: Material) -> Figure:
    """UMAP: neighbours among the encodings of the test images stay neighbours."""
    encodings = _distinct(material, NEIGHBOURS + 1, "UMAP")
    points = umap_points(encodings, derive(material.run.config.seed, "pictures", "umap"))
    return _draw_latent(material, points, "UMAP", ("", ""))


def umap_points(encodings: NDArray[np.float32], seed: int) -> NDArray[np.float32]:
    """``encodings`` [n, d] in two dimensions [n, 2] by UMAP (McInnes et al. 2018), seeded.

    n is above `NEIGHBOURS`.
    """
    from sklearn.neighbors import NearestNeighbors

    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Tensorflow not installed")
        # It has no search tree to place further points by, and needs none.
        warnings.filterwarnings("ignore", "precomputed_knn")
        # It costs seconds, so only this picture imports it.
        from umap import UMAP

        # Exact neighbours by matrix products take a tenth of the time that umap-learn needs
        # to compile its approximate search.
        finder = NearestNeighbors(n_neighbors=NEIGHBOURS, algorithm="brute").fit(encodings)
        distances, indices = finder.kneighbors(encodings)
        model = UMAP(
            n_neighbors=NEIGHBOURS,
            precomputed_knn=(indices, distances.astype(np.float32)),
            init="pca",
            random_state=seed % 2**32,
            n_jobs=1,
        )
        return np.asarray(model.fit_transform(encodings), dtype=np.float32)


def _distinct(material: Material, least: int, what: str) -> NDArray[np.float32]:
    """The test encodings; UserError if they are fewer than ``least``, or all the same."""
    encodings = material.encoded.encodings
    if len(encodings) < least:
        raise UserError(
            f"{material.run.path}: {what} needs {least} test images, there are {len(encodings)}"
        )
    if not np.ptp(encodings, axis=0).any():
        raise UserError(
            f"{material.run.path}: all encodings of the test images are the same, the network "
            "has collapsed: there is nothing to draw"
        )
    return encodings


def _draw_latent(
    material: Material, points: NDArray[np.float32], what: str, axis_names: tuple[str, ...]
) -> Figure:
    labelled = (material.labels >= 0).any()
    colourings = {"true class": material.labels} if labelled else {}
    colourings["predicted class"] = material.predicted
    try:
        colourings["k-means cluster, as the class it matches"] = material.clusters
    except UserError as error:
        _LOG.warning("%s: the clusters are left out: %s", what, error)
    frequent = material.labels if labelled else material.predicted
    title = f"{what} of the encodings of {count(len(points), 'test image')}"
    return latent(
        points, colourings, class_colours(material.class_names, frequent), title, axis_names
    )


def draw_nearest(material: Material) -> Figure:
    """Test images, mistaken ones first, and the labelled images most like them."""
    prepared, encoded = material.prepared, material.encoded
    known = prepared.labels.at(prepared.config.epochs - 1)
    if not len(known.labelled):
        raise UserError(f"{material.run.path}: no training image has a label to compare with")
    wrong = (material.labels >= 0) & (material.predicted != material.labels)
    shown = np.argsort(~wrong, kind="stable")[:EXPLAINED]
    points = encode(material.learner, prepared.train.inputs[known.labelled]).encodings
    near, cosines = find_nearest(encoded.encodings[shown], points, NEAREST)
    names = material.class_names

    def under(at: int) -> str:
        said, true = names[material.predicted[at]], material.labels[at]
        mistaken = true >= 0 and names[true] != said
        return f"predicted {said}" + (f", is {names[true]}" if mistaken else "")

    return nearest(
        [
            (
                (prepared.test_images[at], under(at)),
                [
                    (prepared.train_images[known.labelled[i]], f"{names[known.targets[i]]} {c:.2f}")
                    for i, c in zip(row, found, strict=True)
                ],
            )
            for at, row, found in zip(shown, near, cosines, strict=True)
        ]
    )


def draw_seconds(material: Material) -> Figure:
    """Seconds per epoch, training and evaluating."""
    material.metrics()
    return seconds(material.run.timings)


def draw_schedule(material: Material) -> Figure:
    """The schedule as planned and as run."""
    return schedule(plan_rows(material.prepared), material.metrics())


def draw_learning(material: Material) -> Figure:
    """Losses and accuracies per epoch."""
    return learning(material.metrics(), material.run.chosen_epoch)


def draw_confusion(material: Material) -> Figure:
    """Confusion matrix of the test images."""
    _check_labelled(material)
    counts = count_confusion(material.predicted, material.labels, len(material.class_names))
    return confusion(counts, material.class_names)


def draw_labels(material: Material) -> Figure:
    """Test accuracy against labels known."""
    if all(row["test_accuracy"] is None for row in material.metrics()):
        raise _no_labels(material)
    return accuracy_against_labels(material.metrics())


def _check_labelled(material: Material) -> None:
    if not (material.labels >= 0).any():
        raise _no_labels(material)


def _no_labels(material: Material) -> UserError:
    return UserError(f"{material.run.path}: no test image has a label to compare with")


PICTURES: dict[str, Callable[[Material], Figure]] = {
    "learning": draw_learning,
    "accuracy-labels": draw_labels,
    "schedule": draw_schedule,
    "confusion": draw_confusion,
    "umap": draw_umap,
    "pca-2d": draw_pca_2d,
    "pca-3d": draw_pca_3d,
    "nearest": draw_nearest,
    "views": draw_views,
    "seconds": draw_seconds,
}
"""Every picture, in the order in which a report shows them. A new one is a line here."""


def draw(material: Material, names: Sequence[str]) -> Iterator[tuple[str, Figure | UserError]]:
    """Each named picture, or why it cannot be drawn; one that fails does not stop the others.

    UserError for an unknown name, before anything is drawn.
    """
    drawers = {name: lookup(PICTURES, name, "picture") for name in names}
    for name, drawer in drawers.items():
        try:
            yield name, drawer(material)
        except UserError as error:
            yield name, error


def plot(
    run: str | Path | Run,
    only: Sequence[str] = (),
    *,
    checkpoint: str = "latest",
    data: DataSet | Callable[[], DataSet] | None = None,
    encoder: nn.Module | None = None,
    on_file: Callable[[Path], None] = lambda path: None,
) -> list[Path]:
    """Draw the pictures of a run (all, or ``only`` some) into its folder; the files' paths.

    ``data`` and ``encoder`` as in `lll.train`, needed if they were given there. Works on a
    run that is not finished. ``on_file`` is called after each file. What cannot be drawn is
    left out with a warning. Raises UserError for an unknown name and, once everything else is
    drawn, for a picture of ``only`` that cannot be drawn.
    """
    run = run if isinstance(run, Run) else load_run(run)
    material = Material(run, checkpoint=checkpoint, data=data, encoder=encoder)
    files: list[Path] = []
    missing: dict[str, str] = {}
    for name, drawn in draw(material, only or list(PICTURES)):
        if isinstance(drawn, UserError):
            missing[name] = str(drawn)
            continue
        for path in save(drawn, run.path / "pictures" / name):
            files.append(path)
            on_file(path)
    if missing and (only or not files):
        raise UserError(f"not drawn: {'; '.join(reasons(missing))}")
    for line in reasons(missing):
        _LOG.warning("not drawn: %s", line)
    return files
