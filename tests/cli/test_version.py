"""`lll --version`, and the completion of what is typed."""

import re
import sys
import tomllib
from pathlib import Path

import pytest
from tests.processes import in_process, shared_nursery

import lll as package

ROOT = Path(__file__).parents[2]


def test_version(monkeypatch, tmp_path):
    ended = in_process("--version")
    assert (ended.code, ended.out, ended.err) == (
        0,
        f"lll {package.__version__} (little-label-learners)\n",
        "",
    )
    (tmp_path / "lll-9.9.dist-info").mkdir()
    (tmp_path / "lll-9.9.dist-info" / "METADATA").write_text("Name: lll\nVersion: 9.9\n")
    monkeypatch.setattr(sys, "path", [*sys.path, str(tmp_path)])
    ended = in_process("--version")
    assert ended.code == 0
    assert re.fullmatch(r"lll: package 'lll' 9.9 is another project's: .*\n", ended.err)


def test_the_version_is_one():
    citation = (ROOT / "CITATION.cff").read_text()
    assert f"\nversion: {package.__version__}\n" in citation
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert project["dynamic"] == ["version"]
    assert project["license"] == re.search(r"^license: (.*)$", citation, re.MULTILINE)[1]


@pytest.mark.parametrize(
    ("typed", "offered"), [("lll tra", "train"), ("lll train --contr", "--contrastive-rate")]
)
def test_what_is_typed_is_completed(typed, offered):
    words = {"COMP_WORDS": typed, "COMP_CWORD": str(typed.count(" "))}
    ended = shared_nursery().run(environment=words | {"_LLL_COMPLETE": "complete_bash"})
    assert offered in ended.out.split()
