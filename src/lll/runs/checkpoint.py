"""Checkpoints: a folder each, made under a temporary name, flushed, then renamed.

    checkpoints/epoch-0003/weights.safetensors   every module's weights
    checkpoints/epoch-0003/state.pt              optimizers and position, plain types only
    checkpoints/epoch-0003/checksums.json        SHA-256 of both; a run that was pulled has no state
    checkpoints/latest, checkpoints/chosen       names of checkpoints, replaced whole

``epoch-0003`` is the state after three epochs, ``epoch-0003-step-0012`` after twelve steps
more. `latest` is renamed into place after the checkpoint it names is on disk, so it never
names a partial one.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from pathlib import Path
from typing import Any

from lll.errors import UserError
from lll.learn.position import Position as Position
from lll.runs.files import says_when_full, sync_folder, write_durably
from lll.runs.state import Checkpoint as Checkpoint
from lll.runs.state import (
    NotACheckpointError,
    checkpoint_from,
    state_bytes,
    weight_bytes,
    weights_from,
)

WEIGHTS, STATE, SUMS = "weights.safetensors", "state.pt", "checksums.json"
POINTERS = ("latest", "chosen")


def write_checkpoint(run: Path, checkpoint: Checkpoint) -> Path:
    """Write ``checkpoint`` whole, under a temporary name that is for `publish`.

    Raises UserError on a full disk, and leaves the earlier checkpoints as they were.
    """
    folder = run / "checkpoints"
    contents = {WEIGHTS: weight_bytes(checkpoint.weights), STATE: state_bytes(checkpoint)}
    sums = {part: _sum(content) for part, content in contents.items()}
    contents[SUMS] = json.dumps(sums, indent=1).encode()
    temporary = folder / f".{checkpoint.position}.{os.getpid()}.tmp"
    with says_when_full(folder):
        try:
            shutil.rmtree(temporary, ignore_errors=True)
            # Not its parents: a run folder that is gone is not made anew.
            folder.mkdir(exist_ok=True)
            temporary.mkdir()
            for part, content in contents.items():
                write_durably(temporary / part, content)
        except BaseException:
            shutil.rmtree(temporary, ignore_errors=True)
            raise
    return temporary


def publish(run: Path, whole: Path, position: Position, *, chosen: bool = False) -> Path:
    """Give the checkpoint ``whole`` its name, and make it `latest`, and `chosen` if it is.

    Then those that nothing needs are removed: of later positions, which a run that went back
    has left, and of earlier ones but the last two whole epochs and the chosen one.
    """
    folder, name = run / "checkpoints", str(position)
    if named_in(folder).get("chosen") == name:
        (folder / "chosen").unlink()  # before what it names is replaced
    with says_when_full(folder):
        shutil.rmtree(folder / name, ignore_errors=True)
        whole.rename(folder / name)
        sync_folder(folder)
    # `latest` last: a kill in between leaves an earlier `latest`, and the epoch runs again.
    for pointer in ("chosen", "latest") if chosen else ("latest",):
        write_durably(folder / pointer, f"{name}\n".encode())
    _drop_others(folder, position)
    return folder / name


def go_back(run: Path, position: Position) -> None:
    """Make the checkpoint at ``position`` the latest; those of later ones stay until `publish`."""
    folder = run / "checkpoints"
    named = named_in(folder)
    if named.get("latest") != str(position):
        write_durably(folder / "latest", f"{position}\n".encode())
    chosen = Position.of(named.get("chosen", ""))
    if chosen is not None and chosen > position:
        (folder / "chosen").unlink()


def load_checkpoint(run: Path, which: str = "latest") -> Checkpoint | None:
    """The checkpoint that `latest` or `chosen` names, or the one called ``which``.

    None if the run has none yet. Raises UserError if there is none called so, if a file is
    missing or does not have its checksum, or if it does not hold what a checkpoint holds.
    """
    home = _home(run, which)
    if home is None:
        return None
    part = SUMS
    try:
        sums = json.loads((home / part).read_text(encoding="utf-8"))
        part = WEIGHTS
        weights = weights_from(_summed(home / part, sums))
        if STATE not in sums:  # as `lll pull` leaves it
            return Checkpoint(_position(home), config={}, weights=weights, optimizers={})
        part = STATE
        checkpoint = checkpoint_from(_summed(home / part, sums), weights)
        if str(checkpoint.position) != home.name:
            raise NotACheckpointError(f"it is {checkpoint.position}")
    except (OSError, ValueError, RecursionError) as error:
        reason = error.strerror if isinstance(error, OSError) else error
        raise UserError(
            f"{home / part}: corrupt checkpoint ({reason}): {_remedy(home.parent, but=home.name)}"
        ) from None
    return checkpoint


def _position(home: Path) -> Position:
    position = Position.of(home.name)
    assert position is not None  # as `_home` has seen
    return position


def _summed(part: Path, sums: Any) -> bytes:
    """The bytes of a file, which must have its checksum."""
    content = part.read_bytes()
    if not isinstance(sums, dict) or sums.get(part.name) != _sum(content):
        raise NotACheckpointError("its checksum does not match")
    return content


def _home(run: Path, which: str) -> Path | None:
    """The folder of the checkpoint that ``which`` means; None if there is none yet."""
    folder = run / "checkpoints"
    if which in POINTERS:
        named = named_in(folder).get(which)
        if named is None:
            return None
        if Position.of(named) is None:
            reason = f"it names {named!r}"
            raise UserError(f"{folder / which}: corrupt checkpoint ({reason}): {_remedy(folder)}")
        return folder / named
    if Position.of(which) is None or not (folder / which).is_dir():
        raise UserError(f"{run}: no checkpoint {which!r}: {_remedy(folder)}")
    return folder / which


def _sum(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def _remedy(folder: Path, but: str = "") -> str:
    others = [position for position in _positions(folder) if str(position) != but]
    return (
        f"give `--checkpoint {others[-1]}` to go on from there"
        if others
        else "train again from the start"
    )


def named_in(folder: Path) -> dict[str, str]:
    """What `latest` and `chosen` name, where they are there."""
    pointers = {name: folder / name for name in POINTERS}
    return {
        name: path.read_text(encoding="utf-8", errors="replace").strip()
        for name, path in pointers.items()
        if path.is_file()
    }


def _positions(folder: Path) -> list[Position]:
    """Those of all checkpoints in ``folder``, in order."""
    found = (Position.of(path.name) for path in folder.glob("epoch-*") if path.is_dir())
    return sorted(position for position in found if position is not None)


def _drop_others(folder: Path, now: Position) -> None:
    """Remove what nothing names, but for the last two up to ``now``, and stale temporary ones."""
    everything = _positions(folder)
    kept = [str(position) for position in everything if position <= now][-2:]
    for name in set(map(str, everything)) - {*kept, *named_in(folder).values()}:
        shutil.rmtree(folder / name, ignore_errors=True)
    for stale in folder.glob(".*.tmp"):
        shutil.rmtree(stale, ignore_errors=True) if stale.is_dir() else stale.unlink()
