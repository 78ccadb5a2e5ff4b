"""``lll predict``."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from functools import partial
from math import ceil
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from lll.cli.flags import Cache, RunFolder, Strict
from lll.cli.loading import image_bar, say_skipped, say_unused
from lll.cli.terminal import complain, say, say_csv
from lll.words import count, csv_text, percent

if TYPE_CHECKING:
    from lll.learn.learner import Learner
    from lll.runs import Run
    from lll.runs.predict import Near, Prediction

TOO_FEW = "not calibrated: too few labels"
NONE_HELD_OUT = "not calibrated: no labels held out"


def predict(
    run: RunFolder,
    images: Annotated[
        list[str],
        typer.Argument(help="Image files, or folders of them, also in s3:// and the like."),
    ],
    out: Annotated[Path | None, typer.Option(help="CSV file to write (standard output).")] = None,
    checkpoint: Annotated[
        str, typer.Option(help="chosen (best on validation), latest, or epoch-0003.")
    ] = "chosen",
    error: Annotated[
        float, typer.Option(help="How often the true class may be missing from the set.")
    ] = 0.05,
    why: Annotated[
        bool, typer.Option("--why", help="Add the five labelled images most like each image.")
    ] = False,
    unknown_above: Annotated[
        float | None, typer.Option(min=0, max=1, help="Unknown from this score on (the run's own).")
    ] = None,
    strict: Strict = False,
    cache: Cache = None,
) -> None:
    """Classify images with a run: a CSV of path, class, probability, set and unknown.

    The set holds the classes that the image may show, likeliest first. With --error 0.05 it
    misses the true class of 5 in 100 images, if they are like the labelled ones.
    unknown, from 0 to 1, says how little the image looks like any class that the run knows.
    """
    from lll.runs import load_run
    from lll.runs.files import check_target, write_whole
    from lll.runs.predict import predict_files

    if out is not None:
        check_target(out)
    loaded = load_run(run)
    with image_bar("predicting", quiet=False) as progress:
        predictions, skipped, unused = predict_files(
            loaded,
            images,
            checkpoint=checkpoint,
            strict=strict,
            error=error,
            near=partial(_near, loaded, cache) if why else None,
            cache=cache,
            progress=progress,
        )
    say_skipped(skipped)
    say_unused(unused)
    holds_out = loaded.config.how.fit is not None
    if holds_out and any(p.classes is None for p in predictions):
        _say_not_calibrated(error)
    text = csv_text(_rows(predictions, TOO_FEW if holds_out else NONE_HELD_OUT, unknown_above))
    if out is None:
        say_csv(text)
    else:
        write_whole(out, text.encode(errors="backslashreplace"))
        say(f"{count(len(predictions), 'prediction')} in {out}")


def _near(run: Run, cache: Path | None, learner: Learner) -> Near:
    from lll.runs.why import labelled_of

    with image_bar("reading labelled images", quiet=False) as progress:
        return labelled_of(run, learner, cache=cache, progress=progress).near


def _say_not_calibrated(error: float) -> None:
    complain(
        f"prediction sets are not calibrated: an error of {percent(error)} needs"
        f" {ceil(1 / error - 1e-9) - 1} held-out labels or more: label more images, or raise"
        " --error",
        0,
    )


def _rows(
    predictions: Iterable[Prediction], no_set: str, unknown_above: float | None
) -> Iterator[tuple[object, ...]]:
    most = max((len(p.near) for p in predictions), default=0)
    columns = (f"near_{i}{what}" for i in range(1, most + 1) for what in ("", "_class", "_cosine"))
    yield ("path", "class", "probability", "set", "unknown", "is_unknown", *columns)
    for p in predictions:
        names = no_set if p.classes is None else " | ".join(p.classes)
        near = (cell for n in p.near for cell in (n.path, n.class_name, round(n.cosine, 3)))
        limit = p.unknown_from if unknown_above is None else unknown_above
        verdict = "" if limit is None else ("no", "yes")[p.unknown >= limit]
        unknown = f"{p.unknown:.4f}"
        yield (p.path, p.class_name, f"{p.probability:.4f}", names, unknown, verdict, *near)
