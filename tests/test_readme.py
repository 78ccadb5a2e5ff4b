"""What the README says is so: its commands and flags exist, its map is true, its Python runs."""

import re
import tomllib
from pathlib import Path

import numpy as np
import pytest
from tests.processes import shared_nursery

from lll.bench.sweep import read_sweep
from lll.cli import COMMANDS, GROUPS
from lll.data import SOURCES
from lll.labels.schedule import RULES

ROOT = Path(__file__).parents[1]
TEXT = (ROOT / "README.md").read_text(encoding="utf-8")
MAP = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8").split("## The map")[1]


def blocks(language):
    return re.findall(rf"```{language}\n(.*?)```", TEXT, re.DOTALL)


def test_every_command_and_flag_exists():
    lines = [
        line.split("#")[0].split() for block in blocks("console") for line in block.split("\n")
    ]
    commands = [words for words in lines if words and words[0] == "lll"]
    assert len(commands) > 10
    for _, name, *words in commands:
        assert name in COMMANDS or words[0] in GROUPS[name][1]
        help_text = help_of(name if name in COMMANDS else f"{name} {words[0]}")
        for flag in (word for word in words if word.startswith("--")):
            assert flag in help_text, f"lll {name} {flag}"


def help_of(name, _texts={}):  # noqa: B006 - asked once per command
    if name not in _texts:
        _texts[name] = shared_nursery().run(*name.split(), "--help").out
    return _texts[name]


def test_every_path_of_the_map_exists():
    paths = re.findall(r"^\| `([^`]+)` \|", MAP, re.MULTILINE)
    paths += re.findall(r"\]\(([^)]+)\)", TEXT)
    assert len(paths) > 25
    assert [path for path in paths if not (ROOT / path).exists()] == []


def test_every_room_is_on_the_map():
    rooms = {path.name for path in (ROOT / "src" / "lll").iterdir() if path.suffix in ("", ".py")}
    hidden = {"__init__.py", "__main__.py", "__pycache__", "py.typed"}
    ends = {room: room if room.endswith(".py") else f"{room}/" for room in rooms - hidden}
    assert [room for room, end in ends.items() if f"| `src/lll/{end}` |" not in MAP] == []


def test_the_map_goes_down_as_the_rooms_import():
    """As the contract in pyproject.toml has it, which `make check` holds the imports to."""
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    (contract,) = (
        c for c in settings["tool"]["importlinter"]["contracts"] if c["type"] == "layers"
    )
    depth = {room: at for at, layer in enumerate(contract["layers"]) for room in layer.split(" | ")}
    rooms = re.findall(r"^\| `src/lll/(\w+)", MAP, re.MULTILINE)
    assert rooms == sorted(rooms, key=depth.__getitem__)


@pytest.mark.parametrize("table", [SOURCES, RULES], ids=["data", "schedules"])
def test_names_that_are_listed_are_all_of_them(table):
    assert [name for name in table if f"`{name}`" not in TEXT] == []


def test_the_sweep_can_be_read(tmp_path):
    (tmp_path / "sweep.toml").write_text(blocks("toml")[0])
    assert len(read_sweep(tmp_path / "sweep.toml", tmp_path).jobs) == 12


@pytest.mark.parametrize("code", blocks("python"), ids=["train", "sklearn"])
def test_python_runs(code, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    rng = np.random.default_rng(0)
    images = rng.integers(0, 256, (40, 8, 8), dtype=np.uint8)
    names = {"images": images, "y": np.arange(40) % 4 - 1}
    names |= {"more_images": 255 - images, "more_y": np.arange(40) % 5}
    assert "epochs=10" in code
    exec(code.replace("epochs=10", "epochs=1"), names)
