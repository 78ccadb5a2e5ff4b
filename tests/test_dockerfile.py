"""The Dockerfile copies what is there and is sent; it installs what pyproject.toml asks for."""

import re
import tomllib
from pathlib import Path

ROOT = Path(__file__).parents[1]


def test_all_that_is_copied_is_sent():
    text = (ROOT / "Dockerfile").read_text()
    copied = [
        name for line in re.findall(r"^COPY ([^-].*) \S+$", text, re.M) for name in line.split()
    ]
    sent = re.findall(r"^!(.*)$", (ROOT / ".dockerignore").read_text(), re.M)
    assert len(copied) > 5
    assert sorted(copied) == sorted(sent)
    assert [name for name in copied if not (ROOT / name).exists()] == []


def test_it_installs_what_the_package_asks_for():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    text = (ROOT / "Dockerfile").read_text()
    named = re.findall(r'"(torch[<>=][^"]*)"', text)
    assert len(named) == 1 and named[0] in project["dependencies"]
    pythons = re.findall(r"^FROM python:([\d.]+)-", text, re.M)
    assert len(set(pythons)) == 1
    assert project["requires-python"] == f">={pythons[0]}"
