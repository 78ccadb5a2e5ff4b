"""What the pages of docs/ say is so: their commands and flags exist, their Python runs."""

import re
import sys
from functools import cache
from importlib import import_module
from pathlib import Path
from pkgutil import resolve_name
from types import ModuleType, SimpleNamespace

import pytest
from tests.processes import shared_nursery
from tests.tiny import tiny_config, tiny_data

from lll import load_run, train_or_resume
from lll.bench.sweep import read_sweep
from lll.cli import COMMANDS, GROUPS
from lll.data.exchange import FORMATS
from lll.methods import METHODS
from lll.show.trackers import TRACKERS

DOCS = Path(__file__).parents[1] / "docs"
PAGES = sorted(DOCS.glob("*.md"))
COMMAND = re.compile(r"\blll ((?:(?:data|labels) )?[a-z]+)((?: [^\s|…`]+)*)")


def blocks(page, *languages):
    return re.findall(
        rf"```(?:{'|'.join(languages)})\n(.*?)```", page.read_text("utf-8"), re.DOTALL
    )


@cache
def help_of(command):
    return shared_nursery().run(*command.split(), "--help").out


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_command_and_flag_exists(page):
    found = COMMAND.findall("\n".join(blocks(page, "console", "bash", "ini")))
    assert found
    for command, words in found:
        group, _, name = command.partition(" ")
        assert command in COMMANDS or name in GROUPS[group][1]
        for flag in re.findall(r" (--[a-z-]+)", words):
            assert flag in help_of(command), f"lll {command} {flag}"


TEXTS = [*PAGES, *(DOCS.parent / name for name in ("README.md", "CONTRIBUTING.md"))]


@pytest.mark.parametrize(
    "page", [*TEXTS, DOCS.parent / "benchmarks" / "README.md"], ids=lambda page: page.name
)
def test_every_name_of_the_library_and_every_path_exists(page):
    text = page.read_text("utf-8")
    for name in re.findall(r"\blll(?:\.\w+)+", text):
        assert resolve_name(name) is not None
    for name, path in re.findall(r"`([A-Z]+)`[^`]* of `src/([\w./]+)\.py`", text):
        module = path.removesuffix("/__init__").replace("/", ".")
        assert hasattr(import_module(module), name), f"{name} of {path}"
    paths = re.findall(r"`((?:src|tests|benchmarks|docs|examples)/[\w./-]+)`", text)
    mine = [path for path in paths if "my_" in path]  # of the reader
    assert [path for path in paths if path not in mine and not (DOCS.parent / path).exists()] == []


def test_every_page_is_in_the_index():
    index = (DOCS / "index.md").read_text("utf-8")
    assert [page.stem for page in PAGES if f"\n{page.stem}\n" not in f"{index}\nindex\n"] == []


@pytest.mark.parametrize(
    ("page", "names"),
    [("few-labels", TRACKERS), ("labelling", [suffix for suffix, _ in FORMATS.values()])],
)
def test_names_that_are_listed_are_all_of_them(page, names):
    text = (DOCS / f"{page}.md").read_text("utf-8").lower()
    assert [name for name in names if name not in text] == []


def test_pages_are_made_of_every_method_and_command(tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(DOCS)
    import made

    made.write_pages(tmp_path)
    assert {page.stem for page in (tmp_path / "methods").iterdir()} == set(METHODS)
    commands = (tmp_path / "commands.md").read_text("utf-8")
    assert all(f"`lll {name}`" in commands for name in COMMANDS)


def test_the_tables_of_the_readme_are_those_of_the_code(monkeypatch):
    monkeypatch.syspath_prepend(DOCS)
    import made

    text = (DOCS.parent / "README.md").read_text("utf-8")
    assert text == made.with_tables(text), "run `python docs/made.py`"


CODE = [
    (page, code) for page in PAGES if page.stem != "clusters" for code in blocks(page, "python")
]


@pytest.mark.parametrize(("page", "code"), CODE, ids=[page.stem for page, _ in CODE])
def test_python_runs(page, code, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    exec(code.replace("epochs=10", "epochs=1"), {})


def test_the_sweep_can_be_read(tmp_path):
    (sweep,) = blocks(DOCS / "few-labels.md", "toml")
    (tmp_path / "sweep.toml").write_text(sweep)
    assert len(read_sweep(tmp_path / "sweep.toml", tmp_path).jobs) == 12


def test_the_function_for_ray_runs(tmp_path, monkeypatch):
    """With stand-ins for what Ray gives, whose process group is tested with the ranks."""
    reported = []
    ray, of_torch = ModuleType("ray"), ModuleType("ray.train.torch")
    ray.train = train = ModuleType("ray.train")
    train.report = reported.append
    train.ScalingConfig = train.RunConfig = train.FailureConfig = SimpleNamespace
    of_torch.TorchTrainer = lambda work, **how: SimpleNamespace(fit=work)
    for module in (ray, train, of_torch):
        monkeypatch.setitem(sys.modules, module.__name__, module)
    (code,) = blocks(DOCS / "clusters.md", "python")
    names = {}
    exec(code.replace("trainer.fit()", ""), names)
    names["lll"] = SimpleNamespace(
        RunConfig=lambda **given: tiny_config(**given | {"epochs": 1}),
        train_or_resume=lambda config, out: train_or_resume(
            config, tmp_path / Path(out).name, data=tiny_data()
        ),
    )
    for _ in range(2):  # the second time after a failure
        names["trainer"].fit()
    result = load_run(tmp_path / "photos").result
    assert reported == [{"test_accuracy": result["test_accuracy_final"]}] * 2
