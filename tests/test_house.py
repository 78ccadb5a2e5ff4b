"""The figures that keep the house readable: sizes of files and functions, and no circles."""

import ast
import statistics
from graphlib import TopologicalSorter
from pathlib import Path

SOURCE = Path(__file__).parents[1] / "src"
FILES = sorted((SOURCE / "lll").rglob("*.py"))
FILE_MOST, FUNCTION_MOST, FUNCTION_MEDIAN = 350, 60, 8


def lengths(path):
    """How many lines each function of a file has."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            name = f"{path.relative_to(SOURCE)}, line {node.lineno}: {node.name}"
            yield name, node.end_lineno - node.lineno + 1


def name_of(path):
    return ".".join(path.relative_to(SOURCE).with_suffix("").parts).removesuffix(".__init__")


MODULES = set(map(name_of, FILES))


def imports(path):
    """The modules of the house that a file imports when it is imported itself."""
    for node in ast.parse(path.read_text(encoding="utf-8")).body:
        if isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] == "lll":
            for alias in node.names:
                module = f"{node.module}.{alias.name}"
                module = module if module in MODULES else node.module
                if module != name_of(path):
                    yield module


def test_no_file_is_long():
    sizes = {str(p.relative_to(SOURCE)): len(p.read_text("utf-8").splitlines()) for p in FILES}
    assert {name: size for name, size in sizes.items() if size > FILE_MOST} == {}


def test_functions_are_short():
    found = dict(pair for path in FILES for pair in lengths(path))
    assert {name: size for name, size in found.items() if size > FUNCTION_MOST} == {}
    assert statistics.median(found.values()) <= FUNCTION_MEDIAN


def test_no_module_imports_itself_by_way_of_others():
    graph = {name_of(path): set(imports(path)) for path in FILES}
    assert len(list(TopologicalSorter(graph).static_order())) == len(FILES)
