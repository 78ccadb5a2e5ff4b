"""A data source is one file and one table line: this file has two, with the lines in a fixture."""

import numpy as np
import pytest
from tests.processes import in_process

from lll.data import load_data, sources
from lll.data.assemble import assemble, row_ids


def load_stripes(options):
    """Stripes along or across: a data set with a name."""
    size = options.image_size
    rows, columns = np.indices((size, size))
    images = np.stack(
        [np.where(side // 2 % 2, 255, i) for side in (rows, columns) for i in range(20)]
    )
    pixels = options.pixels()
    pixels.put(np.repeat(images[..., None], 3, axis=3).astype(np.uint8))
    return assemble(
        "stripes",
        ("along", "across"),
        pixels.rows(),
        np.repeat(np.arange(2), 20),
        row_ids("stripes", 40),
        np.full(40, ""),
        test_share=options.test_share,
    )


def load_text(path, options):
    """A file of numbers, a line for each image of one grey: a kind of path."""
    table = np.loadtxt(path, dtype=np.int64, ndmin=2)
    pixels, size = options.pixels(), options.image_size
    pixels.put(np.repeat(table[:, 0], size * size * 3).reshape(-1, size, size, 3).astype(np.uint8))
    return assemble(
        path.stem,
        ("dark", "light"),
        pixels.rows(),
        table[:, 1],
        row_ids(path.stem, len(table)),
        np.full(len(table), ""),
        test_share=options.test_share,
    )


@pytest.fixture(autouse=True)
def registered(monkeypatch):
    monkeypatch.setitem(sources.SOURCES, "stripes", load_stripes)
    text = ("a .txt file of greys", lambda path: path.suffix == ".txt", load_text)
    monkeypatch.setattr(sources, "KINDS", (text, *sources.KINDS))


def test_a_name_loads_trains_and_is_suggested(tmp_path):
    assert load_data("stripes", image_size=8).train.images.shape == (32, 8, 8, 3)
    flags = ("--epochs", 1, "--width", 8, "--quiet", "--out", tmp_path / "run")
    ended = in_process("train", "stripes", *flags)
    assert (ended.code, "labels used" in ended.out) == (0, True)
    wrong = in_process("data", "info", "stripe")
    assert (wrong.code, "stripes" in wrong.err) == (2, True)


def test_a_kind_of_path_loads_and_is_kept(tmp_path):
    file = tmp_path / "greys.txt"
    file.write_text("".join(f"{i * 20} {i // 5}\n" for i in range(10)))
    for _ in range(2):  # decoded, and from the cache
        data = load_data(file, image_size=4, cache=tmp_path / "cache")
        assert (len(data.train), len(data.test)) == (8, 2)
        greys = dict(zip(data.train.ids, np.asarray(data.train.images)[:, 0, 0, 0], strict=True))
        assert all(grey == 20 * int(name[-2:]) for name, grey in greys.items())
    other = tmp_path / "greys.doc"
    other.touch()
    ended = in_process("data", "info", other)
    assert (ended.code, "a .txt file of greys" in ended.err) == (2, True)
