"""``lll export``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from lll.cli.flags import RunFolder
from lll.cli.terminal import say


def export(
    run: RunFolder,
    onnx: Annotated[Path, typer.Option(metavar="FILE.onnx", help="ONNX file to write.")],
    checkpoint: Annotated[
        str, typer.Option(help="chosen (best on validation), latest, or epoch-0003.")
    ] = "chosen",
) -> None:
    """Write a run's network as ONNX, and check it with onnxruntime."""
    from lll.runs import load_run
    from lll.runs.export import export_onnx, usage
    from lll.runs.files import check_target

    loaded = load_run(run)
    check_target(onnx)
    difference = export_onnx(loaded, onnx, checkpoint=checkpoint)
    checked = (
        "not checked: onnxruntime is not installed"
        if difference is None
        else f"onnxruntime is within {difference:.0e} of torch"
    )
    for line in (f"written to {onnx}: {checked}", *usage(loaded, onnx)):
        say(line)
