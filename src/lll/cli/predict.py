"""``lll predict``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from lll.cli.flags import RunFolder, Strict
from lll.cli.loading import say_skipped, say_unused
from lll.cli.terminal import say_csv
from lll.words import csv_text


def predict(
    run: RunFolder,
    images: Annotated[list[Path], typer.Argument(help="Image files, or folders of them.")],
    out: Annotated[Path | None, typer.Option(help="CSV file to write (standard output).")] = None,
    checkpoint: Annotated[
        str, typer.Option(help="chosen (best on validation), latest, or epoch-0003.")
    ] = "chosen",
    strict: Strict = False,
) -> None:
    """Classify images with a run: a CSV of path, class and probability."""
    from lll.runs import load_run
    from lll.runs.files import check_target, write_whole
    from lll.runs.predict import predict_files

    if out is not None:
        check_target(out)
    predictions, skipped, unused = predict_files(
        load_run(run), images, checkpoint=checkpoint, strict=strict
    )
    say_skipped(skipped)
    say_unused(unused)
    rows = ((p.path, p.class_name, f"{p.probability:.4f}") for p in predictions)
    text = csv_text([("path", "class", "probability"), *rows])
    if out is None:
        say_csv(text)
    else:
        write_whole(out, text.encode(errors="backslashreplace"))
