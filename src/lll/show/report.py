"""The report: what run folders hold, in one HTML file that needs nothing else."""

from __future__ import annotations

import io
import json
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from PIL import Image

from lll.config import RunConfig
from lll.data.imageset import DataSet
from lll.errors import UserError
from lll.runs import assess
from lll.runs.audit import audited_in
from lll.runs.files import check_target, write_whole
from lll.runs.record import Run, load_run
from lll.runs.train import data_of
from lll.show.material import Material
from lll.show.pictures import PICTURES, draw
from lll.show.plots.page import Html, page, picture, side_by_side, tag
from lll.show.plots.save import DOTS_PER_INCH, picture_bytes
from lll.show.report_examples import examples_of
from lll.show.report_tables import (
    Shown,
    config_table,
    figures_table,
    has_all,
    history_of,
    per_class_table,
    result_table,
)
from lll.words import count, percent

_WIDE = 10 * DOTS_PER_INCH
"""Pixels; a picture that is wider has a row of its own."""
Load = Callable[[RunConfig], DataSet]


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
        examples = examples_of(material)
    except UserError as error:
        missing["examples"] = str(error)
        examples = _note(missing, "examples")
    return Shown(name, run, figures, pictures, examples, history_of(run), missing)


def _figures(run: Run, load: Load) -> Mapping[str, Any]:
    """The figures in the run folder, made and kept there if they are not."""
    try:
        kept = json.loads((run.path / assess.EVALUATION).read_text(encoding="utf-8"))
        # What another version wrote is made anew.
        if has_all(kept):
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


def _document(shown: Sequence[Shown]) -> str:
    several = len(shown) > 1
    title = " · ".join(one.name for one in shown)
    intro = tag("p", _summary(shown), class_="note")
    audits = [(one, audited_in(one.run.config.data)) for one in shown]
    lines = [tag("p", f"{one.name}: {found}.") for one, found in audits if found]
    lines += [tag("p", note, class_="missing") for one in shown for note in one.notes]
    sections = {
        "Comparison" if several else "Result": Html(
            "".join(lines) + side_by_side([result_table(shown), per_class_table(shown)])
        ),
        "Figures": figures_table(shown),
        "Pictures": _all_pictures(shown),
        "Examples": _each(shown, lambda one: one.examples),
        "Label history": _each(shown, lambda one: one.history),
        "Configuration": config_table(shown),
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
            row = "row" if _is_wide(shown[0].pictures.get(key)) else ""
            blocks.append(tag("div", heading, *pictures, class_=row))
    return side_by_side(blocks)


def _picture(one: Shown, key: str) -> Html:
    if key not in one.pictures:
        return _note(one.missing, f"picture {key}")
    alt = f"{_caption(key)}. Run {one.name}."
    return picture(one.pictures[key], alt, wide=_is_wide(one.pictures[key]))


def _is_wide(png: bytes | None) -> bool:
    return png is not None and Image.open(io.BytesIO(png)).width > _WIDE


def _each(shown: Sequence[Shown], part: Callable[[Shown], Html]) -> Html:
    parts = [part(one) for one in shown]
    return parts[0] if len(shown) == 1 else _columns(shown, parts)


def _columns(shown: Sequence[Shown], parts: Sequence[Html]) -> Html:
    """One part of each run next to each other, under the runs' names."""
    return side_by_side(
        [tag("div", tag("h4", one.name), part) for one, part in zip(shown, parts, strict=True)]
    )
