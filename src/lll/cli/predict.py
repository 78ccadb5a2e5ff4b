"""``lll predict``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from lll.cli.flags import RunFolder, Strict
from lll.cli.show import csv_target, say_skipped


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
    import csv

    from lll.runs import load_run
    from lll.runs.predict import predict_files

    predictions, skipped = predict_files(
        load_run(run), images, checkpoint=checkpoint, strict=strict
    )
    say_skipped(skipped)
    with csv_target(out) as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(("path", "class", "probability"))
        for p in predictions:
            writer.writerow((p.path, p.class_name, f"{p.probability:.4f}"))
