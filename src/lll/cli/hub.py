"""``lll push``, ``lll pull``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from lll.cli.flags import RunFolder
from lll.cli.terminal import say

Repository = Annotated[
    str, typer.Argument(metavar="OWNER/NAME", help="A repository of the Hugging Face Hub.")
]


def push(
    run: RunFolder,
    repository: Repository,
    public: Annotated[
        bool, typer.Option("--public", help="Let everybody see a repository that is made.")
    ] = False,
) -> None:
    """Upload a finished run to the Hugging Face Hub: weights, settings, figures, model card.

    A new repository is private. Image ids, paths and the state of optimizers stay here.
    """
    from lll.runs import load_run
    from lll.runs.hub import push

    say(f"pushed to {push(load_run(run), repository, public=public)}")


def pull(
    repository: Repository,
    out: Annotated[Path | None, typer.Option(help="Run folder to make (runs/NAME).")] = None,
) -> None:
    """Download a run from the Hugging Face Hub, to predict with or to begin from.

    Only the files that `lll push` writes are asked for; weights are safetensors, never pickles.
    """
    from lll.runs.hub import pull

    run = pull(repository, out or Path("runs") / repository.rpartition("/")[2])
    say(f"run in {run.path}; how good it is: {run.path / 'README.md'}")
    say(f"next: lll predict {run.path} IMAGES…")
