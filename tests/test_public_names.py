"""Rooms know one another by public names: `_name` is for its own module alone."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
FILES = [
    path
    for folder in ("src", "tests", "benchmarks", "examples")
    for path in sorted((ROOT / folder).rglob("*.py"))
]


def is_private(name: str) -> bool:
    return name.startswith("_") and not name.startswith("__")


def private_uses(text: str) -> Iterator[str]:
    """`_names` of lll that a module imports, or takes from a module of lll it has imported."""
    tree = ast.parse(text)
    rooms = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] == "lll":
            rooms |= {alias.asname or alias.name for alias in node.names}
            parts = [*str(node.module).split("."), *(alias.name for alias in node.names)]
            yield from (f"{node.lineno}: {part}" for part in parts if is_private(part))
        elif isinstance(node, ast.Import):
            rooms |= {a.asname or "lll" for a in node.names if a.name.split(".")[0] == "lll"}
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute) and is_private(node.attr):
            base = node.value
            while isinstance(base, ast.Attribute):
                base = base.value
            if isinstance(base, ast.Name) and base.id in rooms:
                yield f"{node.lineno}: {ast.unparse(node)}"
        elif isinstance(node, ast.Call) and _sets_attribute(node) and len(node.args) > 1:
            owner, name = node.args[:2]
            named = isinstance(owner, ast.Name) and owner.id in rooms
            if named and isinstance(name, ast.Constant) and is_private(str(name.value)):
                yield f"{node.lineno}: {ast.unparse(owner)}.{name.value}"


def _sets_attribute(call: ast.Call) -> bool:
    """Whether it is a getattr or setattr, as monkeypatch has one too."""
    return ast.unparse(call.func).split(".")[-1] in ("getattr", "setattr")


@pytest.mark.parametrize(
    ("line", "found"),
    [
        ("from lll.learn.loop import _train_epoch", "1: _train_epoch"),
        ("from lll import learn as room; room.loop._train_epoch()", "1: room.loop._train_epoch"),
        ("import lll.learn; lll.learn._x", "1: lll.learn._x"),
        ("from lll.learn import loop; m.setattr(loop, '_x', 1)", "1: loop._x"),
        ("from lll import Learner; Learner.__init__; self._x; from torch import _C", None),
    ],
)
def test_the_check_sees_what_it_looks_for(line, found):
    assert next(private_uses(line), None) == found


def test_no_private_name_of_another_room_is_used():
    uses = {str(path.relative_to(ROOT)): list(private_uses(path.read_text())) for path in FILES}
    assert {name: found for name, found in uses.items() if found} == {}
