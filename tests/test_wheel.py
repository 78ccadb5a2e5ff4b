"""What is built from the repository installs and works without it."""

import os
import shutil
import subprocess
import sys
import venv
import zipfile
from pathlib import Path

import pytest
import torch

import lll

pytestmark = pytest.mark.slow
ROOT = Path(__file__).parents[1]


def run(*command, cwd):
    """Standard output of a command that must end well, with nothing of ours in its environment."""
    clean = {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}
    done = subprocess.run(
        [*map(str, command)], cwd=cwd, env=clean, capture_output=True, text=True, timeout=540
    )
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-2000:]
    return done.stdout


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    """Built from the sdist, so that both are whole. A copy keeps build folders out of the tree."""
    copy, built = tmp_path_factory.mktemp("copy"), tmp_path_factory.mktemp("built")
    for path in ROOT.iterdir():
        if path.is_file():
            shutil.copy(path, copy)
    shutil.copytree(
        ROOT / "src", copy / "src", ignore=shutil.ignore_patterns("*.egg-info", "__pycache__")
    )
    run(sys.executable, "-m", "build", "--outdir", built, copy, cwd=built)
    assert len(list(built.glob("*.tar.gz"))) == 1
    (wheel,) = built.glob("*.whl")
    return wheel


@pytest.fixture(scope="module")
def scripts(wheel, tmp_path_factory):
    """The commands of an environment that has the wheel, and all that it asks for."""
    home = tmp_path_factory.mktemp("environment")
    venv.create(home, with_pip=True)
    run(home / "bin" / "python", "-m", "pip", "install", "--quiet", wheel, cwd=home)
    yield home / "bin"
    shutil.rmtree(home)  # a gigabyte


def test_the_wheel_has_every_file_of_the_package_and_no_other_import_name(wheel):
    names = {name for name in zipfile.ZipFile(wheel).namelist() if "dist-info" not in name}
    here = {
        path.relative_to(ROOT / "src").as_posix()
        for path in (ROOT / "src" / "lll").rglob("*")
        if path.is_file() and path.suffix != ".pyc"
    }
    assert names == here


def test_the_same_torch_is_found(scripts, tmp_path):
    asked = "import torch; print(torch.__version__)"
    assert run(scripts / "python", "-c", asked, cwd=tmp_path).strip() == torch.__version__


def test_it_trains_and_draws_in_another_folder(scripts, tmp_path):
    assert run(scripts / "lll", "--version", cwd=tmp_path).startswith(f"lll {lll.__version__} ")
    short = ("--epochs", "2", "--width", "16", "--out", "run")
    said = run(scripts / "lll", "train", "--data", "digits", *short, cwd=tmp_path)
    assert "test accuracy" in said
    assert "learning.png" in run(scripts / "lll", "plot", "run", "--only", "learning", cwd=tmp_path)
