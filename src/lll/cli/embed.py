"""``lll embed``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from lll.cli.flags import Cache
from lll.cli.loading import download_bar, image_bar, say_skipped, say_unused
from lll.cli.terminal import say
from lll.errors import UserError
from lll.words import visible

if TYPE_CHECKING:
    import pyarrow

USAGE = "write `lll embed RUN DATA`, or `lll embed DATA --encoder NAME`"


def embed(
    source: Annotated[
        str, typer.Argument(metavar="RUN", help="A run folder. With --encoder write the data here.")
    ],
    data: Annotated[
        str | None, typer.Argument(metavar="DATA", help="A data set, or a folder of images.")
    ] = None,
    *,
    out: Annotated[Path, typer.Option(metavar="FILE.parquet", help="Parquet file to write.")],
    checkpoint: Annotated[
        str, typer.Option(help="chosen (best on validation), latest, or epoch-0003.")
    ] = "chosen",
    encoder: Annotated[
        str | None, typer.Option(help="A pretrained encoder instead of a run (`lll encoders`).")
    ] = None,
    image_size: Annotated[
        int | None, typer.Option(help="With --encoder: side in pixels (the encoder's own).")
    ] = None,
    resize: Annotated[
        str, typer.Option(help="With --encoder: crop to the middle square, or squash.")
    ] = "crop",
    weights: Annotated[
        Path | None, typer.Option(help="With --encoder: weights, safetensors or torch.")
    ] = None,
    cache: Cache = None,
) -> None:
    """Encode images with a run: Parquet of id, split, embedding, prediction and label.

    Or with a pretrained encoder and no run: `lll embed DATA --encoder NAME`.
    """
    from lll.runs import export
    from lll.runs.files import check_target

    check_target(out)
    if encoder is None:
        if data is None:
            raise UserError(f"embed needs a run or an encoder: {USAGE}")
        table = _by_run(Path(source), data, checkpoint, cache)
    else:
        if data is not None:
            raise UserError(f"embed takes a run or an encoder, not both: {USAGE}")
        table = _by_encoder(source, encoder, image_size, resize, weights, cache)
    export.write_parquet(table, out)
    width = table.schema.field("embedding").type.list_size
    say(f"{table.num_rows} embeddings of {width} features in {out}")


def _by_run(path: Path, data: str, checkpoint: str, cache: Path | None) -> pyarrow.Table:
    from lll.data import side_for
    from lll.runs import export, load_run

    run = load_run(path)
    config = run.config
    with download_bar(data, quiet=False) as progress:
        rows = export.read_rows(
            data,
            side_for(data, config.image_size) if config.freeze else config.image_size,
            test_share=config.test_share,
            resize=config.resize,
            cache=cache,
            progress=progress,
        )
    say_skipped(rows.skipped)
    say_unused(rows.unused)
    with image_bar("encoding", quiet=False) as progress:
        return export.embed(run, rows, checkpoint=checkpoint, cache=cache, progress=progress)


def _by_encoder(
    data: str,
    name: str,
    size: int | None,
    resize: str,
    weights: Path | None,
    cache: Path | None,
) -> pyarrow.Table:
    from lll.data import side_for
    from lll.nets.frozen import frozen_encoder
    from lll.runs import export

    encoder = frozen_encoder(name, size, weights)
    with download_bar(data, quiet=False) as progress:
        side = side_for(data, encoder.size)
        rows = export.read_rows(data, side, resize=resize, cache=cache, progress=progress)
    say_skipped(rows.skipped)
    say_unused(rows.unused)
    with image_bar(f"encoding with {visible(name)}", quiet=False) as progress:
        return export.embed_frozen(encoder, rows, cache=cache, progress=progress)
