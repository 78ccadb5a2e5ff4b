"""Flags: the shared ones, and one for each field of the configuration."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from lll.errors import UserError

if TYPE_CHECKING:
    from lll.config import About, RunConfig

_FLAG_NAMES = {"from_run": "--from"}

Json = Annotated[bool, typer.Option("--json", help="One JSON object a line, for machines.")]
Quiet = Annotated[bool, typer.Option("--quiet", help="Print the result and nothing else.")]
Cache = Annotated[
    Path | None,
    typer.Option(envvar="LLL_CACHE", help="Folder where downloads and decoded images are kept."),
]
Strict = Annotated[bool, typer.Option("--strict", help="Refuse images that cannot be read.")]
Source = Annotated[
    str | None,
    typer.Argument(
        metavar="[DATA|CONFIG.toml]", help="The data, as in --data, or a file of settings."
    ),
]
RunFolder = Annotated[Path, typer.Argument(metavar="RUN", help="A run folder.")]


def names_in_help(**tables: str) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Mark a command whose help has ``{key}`` for the names in a table, as "module:TABLE".

    The tables' rooms are imported when the help of the command is asked for, and not before.
    """

    def mark(command: Callable[..., Any]) -> Callable[..., Any]:
        command.tables = tables  # type: ignore[attr-defined]
        return command

    return mark


def with_names(command: Callable[..., Any]) -> Callable[..., Any]:
    """``command`` with the names of its tables, if it has any, in its help."""

    @functools.wraps(command)
    def run(*args: Any, **given: Any) -> Any:
        return command(*args, **given)

    for key, place in getattr(command, "tables", {}).items():
        module, _, table = place.partition(":")
        names = ", ".join(getattr(import_module(module), table))
        run.__doc__ = str(run.__doc__).replace(f"{{{key}}}", names)
    return run


def takes_config(command: Callable[..., Any]) -> Callable[..., Any]:
    """Mark ``command``: its ``**flags`` are those of the configuration, made when it is run."""
    command.takes_config = True  # type: ignore[attr-defined]
    return command


def with_config_flags(command: Callable[..., Any]) -> Callable[..., Any]:
    """Give ``command`` one flag for each setting in place of its ``**flags``.

    The methods say which there are, so their rooms are imported here and not before.
    """
    from lll.config import fields_of

    own = [
        p
        for p in inspect.signature(command, eval_str=True).parameters.values()
        if p.kind is not inspect.Parameter.VAR_KEYWORD
    ]
    flags = [
        inspect.Parameter(
            name,
            inspect.Parameter.KEYWORD_ONLY,
            default=None,
            annotation=Annotated[
                str | None,
                typer.Option(
                    _FLAG_NAMES.get(name, "--" + name.replace("_", "-")),
                    help=_help_of(about),
                    metavar=name.split("_")[-1].upper(),
                    show_default=False,
                    rich_help_panel=about.group,
                ),
            ],
        )
        for name, about in fields_of().items()
    ]

    @functools.wraps(command)
    def run(*args: Any, **given: Any) -> Any:
        return command(*args, **given)

    run.__signature__ = inspect.Signature([*own, *flags])  # type: ignore[attr-defined]
    run.__annotations__ = {p.name: p.annotation for p in [*own, *flags]}
    return run


def _help_of(about: About) -> str:
    if about.by_method:
        return f"{about.help} (default by method)"
    return about.help if about.default is None else f"{about.help} ({about.default})"


PHOTO_SIDE = 48
"""From so many pixels on, images are photos, on which a pretrained encoder is best."""


def read_config(source: str | None, flags: dict[str, str | None]) -> RunConfig:
    """The configuration of ``source``, data or a TOML file, with the ``flags`` on top.

    With ``--from RUN`` the method is ``finetune`` and the data that run's, unless given.
    Photos without a method or an encoder get the defaults of `for_photos`.
    """
    from lll.config import RunConfig, read_toml

    is_file = source is not None and source.endswith(".toml")
    given = read_toml(Path(source)) if is_file and source else {}
    given |= {name: text for name, text in flags.items() if text is not None}
    if source is not None and not is_file:
        if "data" in given:
            raise UserError(f"data is given twice, as {source!r} and as --data: give it once")
        given["data"] = source
    if "from_run" in given:
        given = {"method": "finetune", "data": _data_of(given["from_run"]), **given}
    if not given.keys() & {"method", "encoder", "rule", "from_run"}:
        given = for_photos(given.get("data")) | given
    return RunConfig(**given)


def for_photos(data: Any) -> dict[str, str]:
    """Defaults for ``data`` if its images are photos: a pretrained encoder, `auto`, every label.

    Names of data sets keep the method's own defaults.
    """
    from lll.data import SOURCES, typical_side

    if data is None or data in SOURCES or (typical_side(data) or 0) < PHOTO_SIDE:
        return {}
    return {"encoder": "efficientnet_lite2", "method": "auto", "labels": "1", "classes": "all"}


def _data_of(run: str) -> str:
    from lll.runs import load_run

    return load_run(run).config.data
