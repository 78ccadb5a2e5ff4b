"""Push a finished run to a repository of the Hugging Face Hub, and pull one.

What goes over is what prediction needs: configuration, facts, metrics, the model card, and
weights as safetensors. The state of optimizers, which is a pickle, and the ids of labelled images
stay where they are, and only such files are pulled. huggingface_hub is an extra.
"""

from __future__ import annotations

import json
import re
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

from lll.errors import UserError
from lll.nets.encoders import CUSTOM_ENCODER
from lll.runs.card import CARD, card
from lll.runs.checkpoint import STATE, SUMS, WEIGHTS, named_in
from lll.runs.files import says_when_full
from lll.runs.record import CONFIG, DATA, LABEL_HEAD, LABELS, METRICS, TIMINGS, Run, load_run
from lll.runs.updates import UPDATES, append_update

_WHOLE = (DATA, METRICS, TIMINGS)
_WANTED = re.compile(
    rf"(?:{'|'.join(map(re.escape, (CONFIG, *_WHOLE, UPDATES, LABELS, CARD)))})"
    rf"|checkpoints/(?:latest|chosen|epoch-[0-9]+/(?:{re.escape(WEIGHTS)}|{re.escape(SUMS)}))"
)


def push(run: Run, repository: str, *, public: bool = False, endpoint: str | None = None) -> str:
    """Upload ``run`` to ``repository`` (OWNER/NAME), which is made if need be; its address.

    A new repository is private unless ``public``. ``endpoint`` is the Hub's, by default that of
    HF_ENDPOINT. Raises UserError for a run that is not finished or needs an encoder that is
    not in it, without huggingface_hub, and if the Hub refuses.
    """
    if not run.finished:
        raise UserError(f"{run.path}: is not finished: go on with `lll resume {run.path}`")
    needed = "a module of your own" if run.config.encoder == CUSTOM_ENCODER else run.config.weights
    if needed is not None:
        raise UserError(
            f"{run.path}: its encoder needs {needed}, which is not part of the run: "
            "train with an encoder by name to push it"
        )
    hub = _hub()
    with tempfile.TemporaryDirectory() as folder:
        gather(run, Path(folder))
        with _said(repository):
            api = hub.HfApi(endpoint=endpoint)
            api.create_repo(repository, private=not public, exist_ok=True)
            done = api.upload_folder(
                repo_id=repository, folder_path=folder, commit_message=run.config.title
            )
    return str(done.repo_url)


def gather(run: Run, folder: Path) -> None:
    """Lay out in ``folder`` what of ``run`` others may have: no paths, no ids, no pickle."""
    for name in _WHOLE:
        shutil.copy(run.path / name, folder)
    for update in run.updates:
        append_update(folder, replace(update, changes=(), gone=()))
    told: dict[str, Any] = {"data": Path(run.config.data).name, "epochs": run.cycles[0]}
    told |= {"label_events": None, "from_run": None}
    (folder / CONFIG).write_text(run.config.model_copy(update=told).to_toml(), encoding="utf-8")
    (folder / LABELS).write_text(LABEL_HEAD, encoding="utf-8")
    (folder / CARD).write_text(card(run), encoding="utf-8", errors="backslashreplace")
    for pointer, name in named_in(run.path / "checkpoints").items():
        source, target = run.path / "checkpoints" / name, folder / "checkpoints" / name
        target.mkdir(parents=True, exist_ok=True)
        shutil.copy(source / WEIGHTS, target)
        sums = json.loads((source / SUMS).read_text(encoding="utf-8"))
        sums.pop(STATE, None)
        (target / SUMS).write_text(json.dumps(sums, indent=1), encoding="utf-8")
        (folder / "checkpoints" / pointer).write_text(f"{name}\n", encoding="utf-8")


def pull(repository: str, out: Path, *, endpoint: str | None = None) -> Run:
    """Download the run in ``repository`` (OWNER/NAME) into the new folder ``out``.

    Only the files that `push` writes are asked for. Raises UserError if ``out`` exists, without
    huggingface_hub, if the Hub refuses, and for a repository that holds no whole run; then
    nothing is left.
    """
    if out.exists():
        raise UserError(f"{out}: exists already: choose another --out")
    hub = _hub()
    with says_when_full(out):
        out.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=out.parent, prefix=f".{out.name}.") as folder:
            _download(hub, repository, folder, endpoint)
            _check(Path(folder), repository)
            shutil.rmtree(Path(folder) / ".cache", ignore_errors=True)
            shutil.copytree(folder, out)
    return load_run(out)


def _download(hub: Any, repository: str, folder: str, endpoint: str | None) -> None:
    with _said(repository):
        files = hub.HfApi(endpoint=endpoint).list_repo_files(repository)
    wanted = [name for name in files if _WANTED.fullmatch(name)]
    if CONFIG not in wanted:
        raise UserError(f"{repository}: no run in this repository (no {CONFIG}): check the name")
    with _said(repository):
        for name in wanted:
            hub.hf_hub_download(repository, name, local_dir=folder, endpoint=endpoint)


def _check(folder: Path, repository: str) -> None:
    """UserError, which speaks of ``repository``, unless ``folder`` holds a run that can predict."""
    from lll.runs.predict import load_learner

    try:
        run = load_run(folder)
        if run.config.weights is not None:
            raise UserError(f"{CONFIG} asks for the file {run.config.weights}")
        load_learner(run)
    except UserError as error:
        reason = str(error).replace(f"{folder}/", "").replace(str(folder), repository)
        raise UserError(f"{repository}: {reason}") from None


def _hub() -> Any:
    try:
        import huggingface_hub
    except ImportError:
        raise UserError(
            "huggingface_hub is not installed: pip install 'little-label-learners[hub]'"
        ) from None
    return huggingface_hub


@contextmanager
def _said(repository: str) -> Iterator[None]:
    """Turns what the Hub's client raises into a UserError."""
    from huggingface_hub.errors import HFValidationError

    try:
        yield
    except HFValidationError:
        raise UserError(f"{repository!r} is not a name of a repository: write OWNER/NAME") from None
    except Exception as error:  # those for a network that is away have no common class
        reason = next(iter(str(error).splitlines()), type(error).__name__)
        raise UserError(
            f"{repository}: not reached ({reason}): check the name, the network, and "
            "that `hf auth login` was done"
        ) from error
