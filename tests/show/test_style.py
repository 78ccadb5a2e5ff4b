import numpy as np
import pytest

from lll.show.plots.style import CLASS_COLOURS, NO_COLOUR, class_colours, curve, plain

# Machado, Oliveira and Fernandes 2009, severity 1.0, on linear RGB.
SIGHT = {
    "normal": np.eye(3),
    "protanopia": [
        [0.152286, 1.052583, -0.204868],
        [0.114503, 0.786281, 0.099216],
        [-0.003882, -0.048116, 1.051998],
    ],
    "deuteranopia": [
        [0.367322, 0.860646, -0.227968],
        [0.280085, 0.672501, 0.047413],
        [-0.011820, 0.042940, 0.968881],
    ],
    "tritanopia": [
        [1.255528, -0.076749, -0.178779],
        [-0.078411, 0.930809, 0.147602],
        [0.004733, 0.691367, 0.303900],
    ],
}
XYZ = np.array([[0.4124, 0.3576, 0.1805], [0.2126, 0.7152, 0.0722], [0.0193, 0.1192, 0.9505]])


def lab(colour, sight):
    rgb = np.array([int(colour[at : at + 2], 16) for at in (1, 3, 5)]) / 255
    linear = np.where(rgb <= 0.04045, rgb / 12.92, ((rgb + 0.055) / 1.055) ** 2.4)
    x = XYZ @ np.clip(np.array(sight) @ linear, 0, 1) / np.array([0.9505, 1.0, 1.089])
    f = np.where(x > 0.008856, np.cbrt(x), 7.787 * x + 16 / 116)
    return np.array([116 * f[1] - 16, 500 * (f[0] - f[1]), 200 * (f[1] - f[2])])


@pytest.mark.parametrize("sight", SIGHT)
def test_any_two_class_colours_can_be_told_apart(sight):
    points = np.array([lab(colour, SIGHT[sight]) for colour in CLASS_COLOURS])
    distances = np.linalg.norm(points[:, None] - points[None], axis=2)
    # 2.3 is just noticeable; small dots need several times that.
    assert distances[~np.eye(len(points), dtype=bool)].min() > 15


def test_each_class_has_its_colour_and_no_label_is_grey():
    colours = class_colours("abc", np.array([0, 1, 2]))
    of = colours.of(np.array([2, 0, -1]))
    assert list(of) == [CLASS_COLOURS[2], CLASS_COLOURS[0], NO_COLOUR]
    assert [h.get_label() for h in colours.handles(unlabelled=True)] == ["a", "b", "c", "no label"]


def test_of_many_classes_the_most_frequent_are_coloured():
    names = [f"class {c}" for c in range(100)]
    labels = np.repeat(np.arange(100), np.arange(100))
    colours = class_colours(names, labels)
    assert len(colours.names) == len(CLASS_COLOURS)
    assert colours.names[-1] == "89 other classes"
    assert set(colours.names[:-1]) == {f"class {c}" for c in range(89, 100)}
    assert colours.of(np.array([0]))[0] == NO_COLOUR
    assert colours.of(np.array([99]))[0] in CLASS_COLOURS


@pytest.mark.parametrize(
    ("name", "shown"),
    [("a\nb", "a b"), ("_x", " _x"), ("$1", r"\$1"), ("\x07", r"\x07")],
)
def test_foreign_names_become_plain_text(name, shown):
    assert plain(name) == shown


def test_a_missing_value_is_a_gap():
    assert np.isnan(curve([None, 1.0])).tolist() == [True, False]
