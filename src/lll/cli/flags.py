"""Flags: the shared ones, and one for each field of the configuration."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any

import typer

from lll.config import METHOD_DEFAULTS, RunConfig, read_toml

_FLAG_NAMES = {"from_run": "--from"}

Json = Annotated[bool, typer.Option("--json", help="One JSON object a line, for machines.")]
Quiet = Annotated[bool, typer.Option("--quiet", help="Print the result and nothing else.")]
Cache = Annotated[
    Path | None,
    typer.Option(envvar="LLL_CACHE", help="Folder where downloads and decoded images are kept."),
]
Strict = Annotated[bool, typer.Option("--strict", help="Refuse images that cannot be read.")]
ConfigFile = Annotated[
    Path | None, typer.Argument(metavar="[CONFIG.toml]", help="Settings; a flag wins over them.")
]
RunFolder = Annotated[Path, typer.Argument(metavar="RUN", help="A run folder.")]


def with_config_flags(command: Callable[..., Any]) -> Callable[..., Any]:
    """Give ``command`` one flag for each field of RunConfig in place of its ``**flags``."""
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
                    help=_help_of(name),
                    metavar=name.split("_")[-1].upper(),
                    show_default=False,
                ),
            ],
        )
        for name in RunConfig.model_fields
    ]
    command.__signature__ = inspect.Signature([*own, *flags])  # type: ignore[attr-defined]
    command.__annotations__ = {p.name: p.annotation for p in [*own, *flags]}
    return command


def _help_of(name: str) -> str:
    field = RunConfig.model_fields[name]
    if name != "method" and any(name in defaults for defaults in METHOD_DEFAULTS.values()):
        return f"{field.description} (default by method)"
    if field.default is None or field.is_required():
        return str(field.description)
    return f"{field.description} ({field.default})"


def read_config(file: Path | None, flags: dict[str, str | None]) -> RunConfig:
    """The configuration in ``file`` with the ``flags`` that were given on top.

    With ``--from RUN`` the method is ``finetune`` and the data that run's, unless given.
    """
    given = {} if file is None else read_toml(file)
    given |= {name: text for name, text in flags.items() if text is not None}
    if "from_run" in given:
        given = {"method": "finetune", "data": _data_of(given["from_run"]), **given}
    return RunConfig(**given)


def _data_of(run: str) -> str:
    from lll.runs import load_run

    return load_run(run).config.data
