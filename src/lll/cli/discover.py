"""``lll discover``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from lll.cli.flags import Cache, Json, Quiet
from lll.cli.loading import image_bar, load_with_bar
from lll.cli.terminal import say, say_json, say_table, working
from lll.errors import UserError
from lll.words import count, percent

if TYPE_CHECKING:
    from lll.methods.novel.number import Number
    from lll.runs.discover import Discovery, Pool


def discover(
    source: Annotated[
        str, typer.Argument(metavar="RUN|DATA", help="A run folder, or data with some labels.")
    ],
    *,
    new_classes: Annotated[
        str, typer.Option(metavar="auto|N", help="How many new classes; auto estimates it.")
    ] = "auto",
    out: Annotated[
        Path | None, typer.Option(help="Folder to write (RUN/discovered, or DATA/.lll/discovered).")
    ] = None,
    encoder: Annotated[
        str, typer.Option(help="For DATA: a pretrained encoder (`lll encoders`).")
    ] = "efficientnet_lite2",
    seed: Annotated[int, typer.Option(min=0, help="Seed of every random choice.")] = 0,
    cache: Cache = None,
    quiet: Quiet = False,
    as_json: Json = False,
) -> None:
    """Group unlabelled images into known classes and proposals of new ones, for you to name.

    Writes discovered.csv (path, class or new-1, distance), a contact sheet for each proposal
    and discovered.html. In a folder of images the proposals also go into its label store.
    """
    from lll.runs import discover as finding
    from lll.show.discovered import write_discovery

    new = _number_of(new_classes)
    calm = quiet or as_json
    pool = _pool(source, encoder, new, cache, calm)
    with working("grouping the images"):
        found = finding.discover(pool, new, seed)
    summary = _summary(found)
    paths = write_discovery(pool, found, out or _home(source), summary)
    proposed = finding.propose(pool, found)
    if found.note:
        say(f"note: {found.note}", err=True)
    if as_json:
        say_json(_as_json(found, paths))
        return
    _say(pool, found, summary, paths, proposed, quiet)


def _number_of(text: str) -> int | None:
    if text == "auto":
        return None
    if not text.isascii() or not text.isdigit() or len(text) > 6:
        raise UserError(f"--new-classes {text!r}: give auto, or a whole number from 0")
    return int(text)


def _pool(source: str, encoder: str, new: int | None, cache: Path | None, quiet: bool) -> Pool:
    from lll.config import RunConfig
    from lll.runs import discover as finding
    from lll.runs import load_run

    if (Path(source) / "config.toml").is_file():
        run = load_run(source)
        with image_bar("encoding", quiet=quiet) as progress:
            return finding.pool_of_run(run, new=new, cache=cache, progress=progress)
    config = RunConfig(data=source, method="logistic", encoder=encoder, test_share=0)
    data = load_with_bar(config, cache=cache, quiet=quiet)
    with image_bar(f"encoding with {encoder}", quiet=quiet) as progress:
        return finding.pool_of_data(config, data, new=new, cache=cache, progress=progress)


def _home(source: str) -> Path:
    path = Path(source)
    if (path / "config.toml").is_file():
        return path / "discovered"
    return path / ".lll" / "discovered" if path.is_dir() else Path("discovered")


def _summary(found: Discovery) -> str:
    images = count(len(found.rows), "unlabelled image")
    new = count(len(found.proposals), "new class", "new classes")
    if found.number is None:
        return f"{images}: {new}, as many as you asked for."
    return f"{images}: {in_words(found.number)}"


def in_words(number: Number) -> str:
    """What the estimate says, and what it supposes."""
    share = percent(number.known_share, 0)
    known = f"about {share} of them are of known classes"
    if not number.new:
        return f"no sign of new classes ({known})."
    new = count(number.new, "new class", "new classes")
    return (
        f"{known}; the rest would be {new} if new classes are about as large as known ones"
        f" ({count(round(number.size), 'image')} each). It may be {number.low}, if they are three"
        f" times as large, to {number.high}, if a third as large: images alone do not tell."
        " All this takes the labels of a class for a random draw from it. If you know better,"
        " say --new-classes N."
    )


def _as_json(found: Discovery, paths: list[Path]) -> dict[str, object]:
    from dataclasses import asdict

    return {
        "unlabelled": len(found.rows),
        "number": None if found.number is None else asdict(found.number),
        "proposals": [
            {"name": p.name, "images": len(p.rows), "purity": p.purity} for p in found.proposals
        ],
        "files": [str(path) for path in paths],
    }


def _say(
    pool: Pool, found: Discovery, summary: str, paths: list[Path], proposed: int, quiet: bool
) -> None:
    from lll.show.discovered import overview

    say(summary)
    if not quiet:
        say_table(
            ("class", "images", "purity", "mean distance"),
            overview(found),
            title="Unlabelled images; purity: neighbours in the same group",
        )
        say(f"written to {paths[0].parent}: {paths[0].name}, {paths[1].name}, contact sheets")
    if proposed:
        say(f'name one with `lll labels name {pool.folder} new-1 "..."`, then train or update')
