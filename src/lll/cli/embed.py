"""``lll embed``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from lll.cli.flags import Cache, RunFolder
from lll.cli.show import download_bar, say_skipped


def embed(
    run: RunFolder,
    data: Annotated[str, typer.Argument(help="A data set, or a folder of images.")],
    out: Annotated[Path, typer.Option(metavar="FILE.parquet", help="Parquet file to write.")],
    checkpoint: Annotated[
        str, typer.Option(help="chosen (best on validation), latest, or epoch-0003.")
    ] = "chosen",
    cache: Cache = None,
) -> None:
    """Encode images with a run: Parquet of id, split, embedding, prediction and label."""
    from lll.runs import export, load_run

    loaded = load_run(run)
    export.check_target(out)
    with download_bar(data, quiet=False) as progress:
        rows = export.read_rows(data, loaded, cache=cache, progress=progress)
    say_skipped(rows.skipped)
    table = export.embed(loaded, rows, checkpoint=checkpoint)
    export.write_parquet(table, out)
    width = table.schema.field("embedding").type.list_size
    Console().print(
        f"{table.num_rows} embeddings of {width} features in {out}", highlight=False, soft_wrap=True
    )
