"""A sweep: methods × schedules × label budgets × seeds, as a TOML file describes it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import Any

from lll.config import RunConfig, read_toml
from lll.errors import UserError, nearest
from lll.runs.train import check_names

_KEYS = ("data", "methods", "schedules", "labels", "seeds", "reference", "settings")


@dataclass(frozen=True)
class Job:
    """One run of a sweep: its place in the table, its seed, its configuration, its folder."""

    method: str
    schedule: str
    labels: str
    seed: int
    config: RunConfig
    out: Path


@dataclass(frozen=True)
class Sweep:
    """The runs of a sweep, and the method or schedule that the others are compared with."""

    jobs: tuple[Job, ...]
    reference: str


def read_sweep(path: Path, out: Path) -> Sweep:
    """The sweep that a TOML file describes, with run folders below ``out``.

    Keys: ``data``; ``methods``, a list of names, or tables of settings by name; ``labels``, a
    list of label budgets, and ``schedules``, tables of settings by name (both may be left
    out); ``seeds``, a list; ``reference``, one of the methods (the first) or of the schedules;
    ``settings``, a table that all runs share. Where methods learn on features, `logistic` is
    always among them. Raises UserError that names the file and the key.
    """
    given = read_toml(path)
    for key in given:
        if key not in _KEYS:
            raise UserError(f"{path}: unknown key {key!r}: {nearest(key, _KEYS)}")
    try:
        methods = _methods(given.get("methods", ["gradual"]))
        schedules = _tables("schedules", given.get("schedules", {"default": {}}))
        shared = {"data": given.get("data")} if "data" in given else {}
        shared |= _table("settings", given.get("settings", {}))
        budgets = [str(labels) for labels in _list("labels", given.get("labels", ["default"]))]
        seeds = _list("seeds", given.get("seeds", [0]))
        rows = {
            (method, schedule): shared | methods[method] | schedules[schedule]
            for method, schedule in product(methods, schedules)
        }
        rows |= _logistic(rows)
        jobs = tuple(
            _job(out, (*names, labels, int(seed)), settings)
            for (names, settings), labels, seed in product(rows.items(), budgets, seeds)
        )
        for config in {(job.method, job.schedule): job.config for job in jobs}.values():
            check_names(config)
    except (UserError, TypeError, ValueError) as error:
        raise UserError(f"{path}: {error}") from None
    reference = str(given.get("reference", next(iter(methods))))
    if reference not in (names := [*methods, *schedules]):
        raise UserError(f"{path}: reference {reference!r}: {nearest(reference, names)}")
    if len({job.out for job in jobs}) < len(jobs):
        raise UserError(f"{path}: two runs would share a folder: list each label and seed once")
    return Sweep(jobs, reference)


def _logistic(rows: Mapping[tuple[str, str], dict[str, Any]]) -> dict[tuple[str, str], Any]:
    """The row that all on features must beat, in each schedule, if ``rows`` have some but not it.

    It takes over what every run has, but for the epochs: it is fitted once.
    """
    frozen = {
        schedule: settings
        for (_, schedule), settings in rows.items()
        if (config := RunConfig(**settings)).freeze and config.method != "logistic"
    }
    common = RunConfig.model_fields.keys() - {"method", "epochs"}
    return {
        ("logistic", schedule): {k: v for k, v in settings.items() if k in common}
        | {"method": "logistic"}
        for schedule, settings in frozen.items()
        if ("logistic", schedule) not in rows
    }


def _job(out: Path, key: tuple[str, str, str, int], settings: dict[str, Any]) -> Job:
    method, schedule, labels, seed = key
    chosen = {} if labels == "default" else {"labels": labels}
    config = RunConfig(**(settings | chosen | {"seed": seed}))
    name = "-".join(_safe(str(part)) for part in (method, schedule, labels) if part != "default")
    return Job(method, schedule, labels, seed, config, out / f"{name}-seed{seed}")


def _safe(text: str) -> str:
    return "".join(c if c.isalnum() or c in "._" else "_" for c in text)


def _methods(given: Any) -> dict[str, dict[str, Any]]:
    if isinstance(given, list):
        return {str(name): {"method": str(name)} for name in given}
    return {name: {"method": name} | table for name, table in _tables("methods", given).items()}


def _tables(key: str, given: Any) -> dict[str, dict[str, Any]]:
    return {name: _table(f"{key}.{name}", table) for name, table in _table(key, given).items()}


def _table(key: str, given: Any) -> dict[str, Any]:
    if not isinstance(given, dict):
        raise UserError(f"{key} is {given!r}: write a table of settings")
    return given


def _list(key: str, given: Any) -> list[Any]:
    if not isinstance(given, list) or not given:
        raise UserError(f"{key} is {given!r}: write a list, as in [0, 1, 2]")
    return given
