"""A damaged or edited run folder is used as it is, or refused with one line."""

from __future__ import annotations

import hashlib
import io
import json
import random
import shutil
import tomllib
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from tests.fuzz.mutate import mutate, mutate_tree, read_or_refused
from tests.processes import stop_after
from tests.tiny import tiny_config, tiny_data
from torch import Tensor

from lll import RunStopped, load_run, resume, train
from lll.runs.predict import encode, load_learner

DATA = tiny_data(each=8, test_each=2)
SHORT, LONG = 40, 1500


@pytest.fixture(scope="module")
def stopped(tmp_path_factory) -> Path:
    """A run that was stopped within its third epoch."""
    run = tmp_path_factory.mktemp("fuzz") / "run"
    with pytest.raises(RunStopped):
        train(tiny_config(batch_size=6), run, data=DATA, watch=stop_after(7))
    return run


def use(run: Path) -> None:
    """All that reads a run folder: its record, its network, and a training that goes on."""
    loaded = load_run(run)
    loaded.label_events()
    assert loaded.result["epochs"] >= 0
    encode(load_learner(loaded, checkpoint="latest"), torch.from_numpy(DATA.test.images))
    try:
        resume(run, data=DATA, watch=stop_after(1))
    except RunStopped:
        load_run(run)  # what was written can be read again


def home_of(run: Path) -> Path:
    return max((run / "checkpoints").glob("epoch-*"))


def sum_up(home: Path) -> None:
    """Checksums that are right, so that it is the content that is judged."""
    parts = [home / name for name in ("weights.safetensors", "state.pt")]
    sums = {part.name: hashlib.sha256(part.read_bytes()).hexdigest() for part in parts}
    (home / "checksums.json").write_text(json.dumps(sums))


def edit_tensor(value: Tensor, rng: random.Random) -> Tensor:
    """Another shape, another type, or other numbers."""
    changes = (
        lambda: value.flatten(),
        lambda: value[..., None],
        lambda: value.flatten()[: value.numel() // 2],
        lambda: value.to(rng.choice((torch.int64, torch.bool, torch.complex64, torch.float16))),
        lambda: value * rng.choice((0, -1, 1e30, float("inf"), float("nan"))),
        lambda: value.to_sparse(),
    )
    return rng.choice(changes)()


def edit_state(state: Any, rng: random.Random) -> Any:
    """One tensor of a state changed, or one entry of it."""
    if rng.random() < 0.5:
        return mutate_tree(state, rng)
    buffer = io.BytesIO()
    torch.save(state, buffer)
    state = torch.load(io.BytesIO(buffer.getvalue()), weights_only=True)
    places = list(_places(state))
    holder, key = rng.choice(places)
    holder[key] = edit_tensor(holder[key], rng)
    return state


def _places(value: Any) -> Any:
    pairs = value.items() if isinstance(value, dict) else enumerate(value)
    for key, inside in pairs:
        if isinstance(inside, Tensor):
            yield value, key
        elif isinstance(inside, dict | list):
            yield from _places(inside)


def edit_weights(home: Path, rng: random.Random) -> None:
    path = home / "weights.safetensors"
    weights = load_file(path)
    name = rng.choice(sorted(weights))
    edited = edit_tensor(weights[name], rng)
    if rng.random() < 0.1:
        del weights[name]
    elif not edited.is_sparse:
        weights[name] = edited.contiguous()
    save_file(weights, path)


def to_toml(tree: Any) -> str:
    return "".join(f"{key} = {json.dumps(value)}\n" for key, value in tree.items())


def damage_checkpoint(run: Path, rng: random.Random) -> None:
    """Bytes of a file of a checkpoint, whether its checksum tells or not."""
    home = home_of(run)
    names = ("weights.safetensors", "state.pt", "checksums.json", "../latest", "../chosen")
    path = home / rng.choice(names)
    path.write_bytes(mutate(path.read_bytes(), rng))
    if path.name in names[:2] and rng.random() < 0.8:
        sum_up(home)


def damage_state(run: Path, rng: random.Random) -> None:
    home = home_of(run)
    if rng.random() < 0.3:
        edit_weights(home, rng)
    else:
        state = torch.load(home / "state.pt", weights_only=True)
        torch.save(edit_state(state, rng), home / "state.pt")
    sum_up(home)


def damage_record(run: Path, rng: random.Random) -> None:
    path = run / rng.choice(("metrics.jsonl", "timings.jsonl", "labels.csv", "data.json"))
    if path.suffix == ".csv" or rng.random() < 0.3:
        path.write_bytes(mutate(path.read_bytes(), rng))
    elif path.suffix == ".json":
        path.write_text(json.dumps(mutate_tree(json.loads(path.read_text()), rng), default=str))
    else:
        lines = [json.loads(line) for line in path.read_text().splitlines()]
        lines = mutate_tree(lines, rng)
        lines = lines if isinstance(lines, list) else [lines]
        path.write_text("".join(json.dumps(line, default=str) + "\n" for line in lines))


def damage_config(run: Path, rng: random.Random) -> None:
    path = run / "config.toml"
    if rng.random() < 0.4:
        path.write_bytes(mutate(path.read_bytes(), rng))
        return
    tree = mutate_tree(tomllib.loads(path.read_text()), rng)
    try:
        path.write_text(to_toml(tree))
    except (AttributeError, TypeError, UnicodeEncodeError):  # TOML has no such thing
        path.write_text("")


DAMAGES = (damage_checkpoint, damage_state, damage_record, damage_config)


@pytest.mark.parametrize("damage", DAMAGES, ids=lambda damage: damage.__name__)
@pytest.mark.parametrize("count", [SHORT, pytest.param(LONG, marks=pytest.mark.slow)])
def test_a_damaged_run_folder_is_used_or_refused(stopped, tmp_path, damage, count):
    refused = 0
    for seed in range(count):
        run = shutil.copytree(stopped, tmp_path / "run")
        damage(run, random.Random(f"{damage.__name__} {seed}"))
        try:
            refused += read_or_refused(lambda run=run: use(run)) is not None
        except BaseException as error:
            error.add_note(f"seed {seed}")
            raise
        shutil.rmtree(run)
    assert refused > count // 4
