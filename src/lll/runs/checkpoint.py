"""Checkpoints: a folder each, made under a temporary name, flushed, then renamed.

    checkpoints/epoch-0003/weights.safetensors   every module's weights
    checkpoints/epoch-0003/state.pt              optimizers and position, plain types only
    checkpoints/epoch-0003/checksums.json        SHA-256 of both
    checkpoints/latest, checkpoints/chosen       names of checkpoints, replaced whole

``epoch-0003`` is the state after three epochs, ``epoch-0003-step-0012`` after twelve steps
more. `latest` is renamed into place after the checkpoint it names is on disk, so it never
names a partial one.
"""

from __future__ import annotations

import hashlib
import io
import json
import os
import pickle
import shutil
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import safetensors.torch
import torch
from torch import Tensor

from lll.errors import UserError
from lll.runs.files import says_when_full, sync_folder, write_durably
from lll.runs.position import Position as Position

_WEIGHTS, _STATE, _SUMS = "weights.safetensors", "state.pt", "checksums.json"


@dataclass(frozen=True)
class Checkpoint:
    """Everything a run needs to go on.

    ``config`` is `RunConfig.to_dict`; ``optimizers`` their state dictionaries by name;
    ``trace`` the losses [steps so far] of an epoch that is under way, and ``seconds`` its
    time so far.
    """

    position: Position
    config: dict[str, Any]
    weights: Mapping[str, Tensor]
    optimizers: dict[str, dict[str, Any]]
    trace: dict[str, Tensor] = field(default_factory=dict)
    seconds: float = 0.0


def save_checkpoint(run: Path, checkpoint: Checkpoint, *, chosen: bool = False) -> Path:
    """Write ``checkpoint`` into the run folder, make it `latest`, and drop what is not needed.

    With ``chosen`` it also becomes the checkpoint of the epoch chosen on validation. The
    last two whole epochs and the chosen one are kept. Raises UserError on a full disk, and
    leaves the earlier checkpoints as they were.
    """
    folder = run / "checkpoints"
    name = str(checkpoint.position)
    named = _named(folder)
    if named.get("latest") != name:  # else nothing has changed since it was read
        if named.get("chosen") == name:
            (folder / "chosen").unlink()  # before what it names is replaced
        _write(folder, name, checkpoint)
    # `latest` last: a kill in between leaves an earlier `latest`, and the epoch runs again.
    for pointer in ("chosen", "latest") if chosen else ("latest",):
        write_durably(folder / pointer, f"{name}\n".encode())
    _drop_old(folder)
    return folder / name


def _write(folder: Path, name: str, checkpoint: Checkpoint) -> None:
    contents = {_WEIGHTS: _weight_bytes(checkpoint.weights), _STATE: _state_bytes(checkpoint)}
    sums = {part: hashlib.sha256(content).hexdigest() for part, content in contents.items()}
    contents[_SUMS] = json.dumps(sums, indent=1).encode()
    temporary = folder / f".{name}.{os.getpid()}.tmp"
    with says_when_full(folder):
        try:
            shutil.rmtree(temporary, ignore_errors=True)
            temporary.mkdir(parents=True)
            for part, content in contents.items():
                write_durably(temporary / part, content)
            shutil.rmtree(folder / name, ignore_errors=True)
            temporary.rename(folder / name)
        except BaseException:
            shutil.rmtree(temporary, ignore_errors=True)
            raise
        sync_folder(folder)


def go_back(run: Path, which: str) -> None:
    """Make the checkpoint called ``which`` the latest and remove those of later epochs.

    ``which`` may also be ``chosen``.
    """
    folder = run / "checkpoints"
    which = _named(folder).get(which, which)
    write_durably(folder / "latest", f"{which}\n".encode())
    # Before the removals: a kill among them must not leave it naming half a checkpoint.
    if _named(folder).get("chosen", which) > which:
        (folder / "chosen").unlink()
    for later in folder.glob("epoch-*"):
        if later.name > which:
            shutil.rmtree(later)


def load_checkpoint(run: Path, which: str = "latest") -> Checkpoint | None:
    """The checkpoint that `latest` or `chosen` names, or the one called ``which``.

    None if the run has none yet. Raises UserError if a file is missing, does not have its
    checksum, or does not hold what a checkpoint holds.
    """
    folder = run / "checkpoints"
    if which in ("latest", "chosen"):
        try:
            which = _read_name(folder / which)
        except FileNotFoundError:
            return None
    home = folder / which
    try:
        sums = json.loads((home / _SUMS).read_text(encoding="utf-8"))
        contents = {part: (home / part).read_bytes() for part in (_WEIGHTS, _STATE)}
        for part, content in contents.items():
            if hashlib.sha256(content).hexdigest() != sums[part]:
                raise _corrupt(home, part, "its checksum is another")
        weights = safetensors.torch.load(contents[_WEIGHTS])
        state = torch.load(io.BytesIO(contents[_STATE]), weights_only=True, map_location="cpu")
        position = Position(**state.pop("position"))
        return Checkpoint(position=position, weights=weights, **state)
    except UserError:
        raise
    except pickle.UnpicklingError:
        # torch's own message tells how to load it nevertheless, which would run its code.
        raise _corrupt(home, _STATE, "it is damaged or holds more than plain values") from None
    # Damaged bytes, or another program's, make the readers raise nearly anything.
    except Exception as error:
        lines = str(error).splitlines() or [type(error).__name__]
        raise _corrupt(home, "", lines[0]) from None


def _weight_bytes(weights: Mapping[str, Tensor]) -> bytes:
    return safetensors.torch.save({k: v.detach().cpu().contiguous() for k, v in weights.items()})


def _state_bytes(checkpoint: Checkpoint) -> bytes:
    state = {
        "position": {"epoch": checkpoint.position.epoch, "step": checkpoint.position.step},
        "config": checkpoint.config,
        "optimizers": checkpoint.optimizers,
        "trace": {name: losses.cpu() for name, losses in checkpoint.trace.items()},
        "seconds": checkpoint.seconds,
    }
    buffer = io.BytesIO()
    torch.save(state, buffer)
    return buffer.getvalue()


def _corrupt(home: Path, part: str, reason: str) -> UserError:
    others = sorted(
        path.name for path in home.parent.glob("epoch-*") if path.is_dir() and path != home
    )
    remedy = f"give `--checkpoint {others[-1]}` to go on from there" if others else "train anew"
    return UserError(f"{home / part if part else home}: corrupt checkpoint ({reason}): {remedy}")


def _named(folder: Path) -> dict[str, str]:
    """What `latest` and `chosen` name, where they are there."""
    pointers = {name: folder / name for name in ("latest", "chosen")}
    return {name: _read_name(path) for name, path in pointers.items() if path.is_file()}


def _read_name(pointer: Path) -> str:
    return pointer.read_text(encoding="utf-8", errors="replace").strip()


def _drop_old(folder: Path) -> None:
    """Remove checkpoints that nothing names, but for the last two, and stale temporary ones."""
    everything = sorted(path.name for path in folder.glob("epoch-*") if path.is_dir())
    for name in set(everything[:-2]) - set(_named(folder).values()):
        shutil.rmtree(folder / name, ignore_errors=True)
    for stale in folder.glob(".*.tmp"):
        shutil.rmtree(stale, ignore_errors=True) if stale.is_dir() else stale.unlink()
