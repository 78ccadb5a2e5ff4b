"""``lll data fetch`` and ``lll data info``."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from lll.cli.flags import Cache, Json, Strict, names_in_help
from lll.cli.loading import download_bar
from lll.cli.terminal import say, say_json, say_table

TITLES = {"train": "training", "validation": "validation", "test": "test"}


@names_in_help(names="lll.data.sources:ARCHIVES")
def fetch(
    name: Annotated[str, typer.Argument(help="A name, as cifar10.")], cache: Cache = None
) -> None:
    """Download a data set once, check it, and keep it for every later command.

    Names: {names}.
    """
    from lll import data

    with download_bar(name, quiet=False) as progress:
        path = data.fetch(name, cache, progress)
    say(str(path))


def info(
    source: Annotated[str, typer.Argument(metavar="NAME_OR_PATH")],
    image_size: Annotated[int, typer.Option(help="Side in pixels to resize to.")] = 32,
    test_share: Annotated[float, typer.Option(help="Share for test if there is no split.")] = 0.2,
    strict: Strict = False,
    cache: Cache = None,
    as_json: Json = False,
) -> None:
    """Say what is in a data set: classes, counts, and the files that are not used."""
    from lll.data import describe, load_data

    with download_bar(source, quiet=as_json) as progress:
        data = load_data(
            source,
            cache=cache,
            image_size=image_size,
            test_share=test_share,
            strict=strict,
            progress=progress,
        )
    facts = describe(data)
    if as_json:
        say_json(facts)
    else:
        _say_info(facts)


def _say_info(facts: dict[str, Any]) -> None:
    height, width, _ = facts["image_shape"]
    validation = "" if facts["validation"] is None else f"{facts['validation']} validation, "
    say(
        f"{facts['name']}: {facts['train']} training images ({facts['unlabelled']} without a "
        f"label), {validation}{facts['test']} test images, {width}x{height} pixels, "
        f"{facts['bytes'] / 2**20:.1f} MiB"
    )
    splits = [split for split in TITLES if facts[split] is not None]
    rows = [(row["name"], *(str(row[split]) for split in splits)) for row in facts["classes"]]
    say_table(("class", *(TITLES[split] for split in splits)), rows)
    for skip in facts["skipped"]:
        say(f"skipped {skip['path']}: {skip['reason']}")
    for unused in facts["unused"]:
        say(f"not used: {unused['count']} {unused['reason']}, first {unused['first']}")
