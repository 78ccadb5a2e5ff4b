"""Each picture as a pure function: arrays in, a figure that shows them out."""

import io

import numpy as np
import pytest
from PIL import Image

from lll.errors import UserError
from lll.show.plots.confusion import confusion
from lll.show.plots.labels import accuracy_against_labels
from lll.show.plots.latent import latent
from lll.show.plots.learning import learning
from lll.show.plots.nearest import nearest
from lll.show.plots.save import picture_bytes, save, save_as
from lll.show.plots.schedule import schedule
from lll.show.plots.seconds import seconds
from lll.show.plots.style import class_colours
from lll.show.plots.views import views

HOSTILE = ("<script>", "$x_1$ \\frac", "_hidden", "日本語", "two\nlines", "a" * 300, "&amp;", "")
METRICS = [
    {
        "epoch": epoch,
        "classes": 2 + epoch,
        "labels_known": 10 * 4**epoch,
        "unlabelled": 500,
        "contrastive_rate": 1e-3,
        "probe_rate": 1e-2,
        "classify_loss": 2.0 - 0.3 * epoch,
        **({"contrast_loss": 3.0} if epoch else {}),
        "test_accuracy": 0.2 * epoch,
        "test_accuracy_represented": 0.3 * epoch,
        "test_accuracy_novel": None if epoch == 2 else 0.0,
        "validation_accuracy": None,
        "test_accuracy_per_class": [0.1] * 4,
    }
    for epoch in range(3)
]
TIMINGS = [{"epoch": e, "seconds": 3.0 + e, "evaluate_seconds": 1.0} for e in range(3)]


def cloud(n=60, classes=8, dimensions=2):
    points = np.random.default_rng(0).normal(size=(n, dimensions))
    labels = np.arange(n) % classes
    colours = class_colours(HOSTILE[:classes], labels)
    colourings = {"true": labels, "predicted": np.where(labels == 0, -1, labels)}
    return latent(points, colourings, colours, "title", ("x", "y", "z")[:dimensions])


SQUARE = np.zeros((8, 8, 3), np.uint8)


def some_views(names=HOSTILE):
    rng = np.random.default_rng(0)
    n = len(names)
    originals = rng.integers(0, 256, (n, 8, 8, 3), dtype=np.uint8)
    return views(originals, rng.random((3, n, 8, 8, 3)), rng.random((2, n, 8, 8, 3)), names)


FIGURES = {
    "latent-2d": cloud,
    "latent-3d": lambda: cloud(dimensions=3),
    "latent-1-class": lambda: cloud(n=3, classes=1),
    "views": some_views,
    "views-1-class": lambda: some_views(["a"]),
    "nearest": lambda: nearest([((SQUARE, n), [(SQUARE, n)] * i) for i, n in enumerate(HOSTILE)]),
    "confusion": lambda: confusion(np.arange(64).reshape(8, 8), HOSTILE),
    "confusion-1-class": lambda: confusion(np.array([[5]]), ["a"]),
    "confusion-100-classes": lambda: confusion(np.eye(100, dtype=int), ["n"] * 100),
    "confusion-empty-class": lambda: confusion(np.array([[0, 0], [1, 2]]), ["a", "b"]),
    "learning": lambda: learning(METRICS, chosen=1),
    "learning-1-epoch": lambda: learning(METRICS[:1], chosen=None),
    "schedule": lambda: schedule(METRICS, METRICS[:2]),
    "schedule-1-epoch": lambda: schedule(METRICS[:1]),
    "labels": lambda: accuracy_against_labels(METRICS),
    "labels-1-epoch": lambda: accuracy_against_labels(METRICS[:1]),
    "labels-none-known": lambda: accuracy_against_labels([METRICS[0] | {"labels_known": 0}]),
    "seconds": lambda: seconds(TIMINGS),
}


@pytest.mark.parametrize("name", FIGURES)
def test_picture_is_drawn(name):
    with Image.open(io.BytesIO(picture_bytes(FIGURES[name](), "png"))) as image:
        assert min(image.size) > 300
        assert len(image.getcolors(maxcolors=2**24)) > 10


def texts(figure):
    legends = [*figure.legends, *(a.get_legend() for a in figure.axes if a.get_legend())]
    return [text.get_text() for legend in legends for text in legend.get_texts()]


def test_legend_carries_class_names_as_they_are():
    shown = texts(cloud())
    assert shown[0] == "<script>"
    assert shown[2].strip() == "_hidden"
    assert shown[3] == "日本語"
    assert shown[-1] == "no label"


def test_learning_curves_show_every_loss_and_accuracy():
    shown = texts(learning(METRICS, chosen=1))
    assert {"classify", "contrast", "test, all classes", "chosen epoch"} <= set(shown)


def test_schedule_shows_plan_and_run():
    axes = schedule(METRICS, METRICS[:2]).axes[0]
    planned, done = axes.get_lines()
    assert list(planned.get_xdata()) == [1, 2, 3]
    assert list(done.get_ydata()) == [2, 3]


def test_a_plan_is_drawn_into_a_file(tmp_path):
    assert save_as(schedule(METRICS), tmp_path / "plan.svg").read_bytes().startswith(b"<?xml")


def test_confusion_cells_are_percent_of_the_row():
    axes = confusion(np.array([[3, 1], [0, 2]]), ["a", "b"]).axes[0]
    assert [text.get_text() for text in axes.texts] == ["75", "25", "100"]


def test_saved_as_png_and_svg_and_the_same_each_time(tmp_path):
    paths = save(cloud(), tmp_path / "new" / "umap")
    assert [path.name for path in paths] == ["umap.png", "umap.svg"]
    before = [path.read_bytes() for path in paths]
    save(cloud(), tmp_path / "new" / "umap")
    assert [path.read_bytes() for path in paths] == before


def test_ten_thousand_points_make_a_small_svg():
    svg = picture_bytes(cloud(n=10_000), "svg")
    assert len(svg) < 3_000_000
    assert svg.count(b"<use") < 1000  # points as one image, not as ten thousand shapes
    assert b"&lt;script&gt;" in svg  # text stays text, escaped


def test_saving_where_nothing_can_be_written_is_one_line(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(UserError, match="cannot be written"):
        save(cloud(), tmp_path / "file" / "umap")
