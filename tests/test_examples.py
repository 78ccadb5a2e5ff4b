"""Each example runs as a user would run it, in a process of its own, and prints its numbers."""

from pathlib import Path

import pytest
from tests.processes import shared_nursery

EXAMPLES = sorted((Path(__file__).parents[1] / "examples").glob("*.py"))


SLOW = {"sklearn_digits"}  # it takes 11 s; what it calls is tested in tests/estimator
SCRIPTS = [
    pytest.param(path, marks=[pytest.mark.slow] * (path.stem in SLOW), id=path.stem)
    for path in EXAMPLES
]


@pytest.mark.parametrize("script", SCRIPTS)
def test_example(script, tmp_path):
    ended = shared_nursery().run(script, tmp_path / "run", module="tests.script")
    assert ended.code == 0, ended.err
    assert "accuracy" in ended.out
