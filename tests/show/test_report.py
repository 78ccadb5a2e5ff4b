"""The report: what it holds, and that a browser shows it from disk alone."""

import json
import re
import sys
from dataclasses import replace

import numpy as np
import pytest
from tests.chromium import browser, missing_browser
from tests.tiny import tiny_config, tiny_data

from lll import UserError, train
from lll.cli import main
from lll.runs.record import load_run
from lll.show import pictures
from lll.show.pictures import PICTURES
from lll.show.report import report

SECTIONS = ["Figures", "Pictures", "Examples", "Label history", "Configuration"]
HOSTILE = ("<script>alert(1)</script>", "b & b", "\"c\" 'c'", "$d$ https://d.example")

RANK = "no calibration of unknown: the score is a rank, not a probability"

# Any image that does not load, or that has one colour all over.
BLANK = """
return [...document.images].filter(image => {
  if (!image.complete || image.naturalWidth === 0) return true;
  const canvas = document.createElement("canvas");
  canvas.width = image.naturalWidth; canvas.height = image.naturalHeight;
  const context = canvas.getContext("2d");
  context.drawImage(image, 0, 0);
  const pixels = new Uint32Array(
    context.getImageData(0, 0, canvas.width, canvas.height).data.buffer);
  return pixels.every(pixel => pixel === pixels[0]);
}).map(image => image.alt);
"""


@pytest.fixture(scope="module", autouse=True)
def quick_umap():
    """UMAP compiles for many seconds: tests/plots pays that once, as a slow test."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(pictures, "umap_points", lambda encodings, seed: encodings[:, :2])
        yield


def hostile_data():
    return replace(tiny_data(), class_names=HOSTILE)


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    folder = tmp_path_factory.mktemp("runs")
    # Two epochs do not learn everything: there are mistakes to show.
    return [
        train(tiny_config(epochs=2, method=method), folder / name, data=hostile_data())
        for method, name in (("gradual", "a<b>&"), ("baseline", "second"))
    ]


@pytest.fixture(scope="module")
def one(trained, tmp_path_factory):
    out = tmp_path_factory.mktemp("one") / "report.html"
    missing = report(trained[:1], out, load=lambda config: hostile_data())
    assert [line.partition(": ")[2] for line in missing] == [RANK]
    return out


@pytest.fixture(scope="module")
def two(trained, one, tmp_path_factory):
    out = tmp_path_factory.mktemp("two") / "report.html"
    missing = report(trained, out, load=lambda config: hostile_data())
    assert [line.partition(": ")[2] for line in missing] == [RANK, RANK]
    return out


def headings(text: str) -> list[str]:
    return re.findall("<h2>(.*?)</h2>", text)


def test_one_run_has_every_section_and_picture(one):
    text = one.read_text(encoding="utf-8")
    assert headings(text) == ["Result", *SECTIONS]
    assert text.count("data:image/png") >= len(PICTURES)
    assert all(f'<th scope="row">{name}</th>' in text for name in ("data", "batch_size"))
    assert text.count("<img ") == text.count(' alt="test image') + len(PICTURES)


def test_several_runs_stand_side_by_side(two):
    text = two.read_text(encoding="utf-8")
    assert headings(text) == ["Comparison", *SECTIONS]
    assert text.count('<th scope="col">second</th>') == 4
    # What differs is marked, and comes first.
    settings = re.findall('<tr><th scope="row">(≠ )?(\\w+)</th>', text)
    differing = [name for mark, name in settings if mark]
    assert "method" in differing
    assert "data" not in differing


def test_foreign_text_is_escaped(two):
    text = two.read_text(encoding="utf-8")
    assert "<script" not in text
    assert "&lt;script&gt;" in text
    assert "a<b>" not in text
    assert "a&lt;b&gt;&amp;" in text


def test_figures_are_made_once_and_kept(trained, one):
    kept = json.loads((trained[0].path / "evaluation.json").read_text())
    shown = f"<td>{100 * kept['accuracy']['all']:.1f}%</td>"
    assert shown in one.read_text(encoding="utf-8")


@pytest.mark.skipif(missing_browser() is not None, reason=f"{missing_browser()}")
@pytest.mark.parametrize("width", [1200, 400])
def test_chromium_shows_it_all_and_asks_for_nothing(one, two, tmp_path, width):
    with browser(tmp_path) as chromium:
        for file, first in ((one, "Result"), (two, "Comparison")):
            chromium.open(file, width)
            shown = chromium.run(
                "return [...document.querySelectorAll('h2')]"
                ".filter(h => h.getBoundingClientRect().height > 0).map(h => h.textContent)"
            )
            assert shown == [first, *SECTIONS]
            assert chromium.run(BLANK) == []
            assert chromium.run("return document.images.length") > len(PICTURES)
            # Wide things scroll in their own boxes; the page itself does not.
            assert chromium.run("return document.body.scrollWidth <= innerWidth")
            sent = chromium.requests()
            assert file.as_uri() in sent
            assert [url for url in sent if not url.startswith(("data:", file.as_uri()))] == []


def test_an_unfinished_run_says_what_is_missing(trained, tmp_path, monkeypatch):
    for name in PICTURES.keys() - {"learning", "confusion"}:
        monkeypatch.delitem(PICTURES, name)  # they take their time
    run = train(tiny_config(epochs=2), tmp_path / "run", data=hostile_data())
    metrics = run.path / "metrics.jsonl"
    metrics.write_text(metrics.read_text().splitlines(keepends=True)[0])
    half = load_run(run.path)
    out = tmp_path / "report.html"
    missing = report([half], out, load=lambda config: hostile_data())
    assert len(missing) == 1
    assert "is not finished" in missing[0]
    assert "1 of 2" in out.read_text(encoding="utf-8")


def test_without_test_labels_the_report_says_so(tmp_path):
    data = hostile_data()
    data = replace(data, test=replace(data.test, labels=np.full_like(data.test.labels, -1)))
    run = train(tiny_config(epochs=1), tmp_path / "run", data=data)
    out = tmp_path / "report.html"
    missing = report([run], out, load=lambda config: data)
    assert any("test images with a label" in line for line in missing)
    (line,) = (
        line for line in missing if line.endswith("no test image has a label to compare with")
    )
    assert all(name in line for name in ("accuracy-labels", "picture confusion", "examples"))
    text = out.read_text(encoding="utf-8")
    assert text.count('class="missing"') >= 4
    assert headings(text) == ["Result", *SECTIONS]


def test_nothing_to_report_is_one_line(trained, tmp_path, monkeypatch, capsys):
    with pytest.raises(UserError, match="no run folder here"):
        report([tmp_path])
    with pytest.raises(UserError, match="is a folder: name a file in it"):
        report(trained, tmp_path)
    run = train(tiny_config(epochs=1), tmp_path / "run", data=hostile_data())
    (run.path / "metrics.jsonl").write_text("")
    monkeypatch.setattr(sys, "argv", ["lll", "report", str(run.path)])
    with pytest.raises(SystemExit) as stop:
        main()
    assert stop.value.code == 2
    said = capsys.readouterr().err
    assert "no epoch is finished" in said
    assert said.count("\n") == 1
