"""Imports within features/ run one way: no circle, not even for types or inside functions."""

import ast
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import features

ROOT = Path(features.__file__).parent


def module_name(path: Path) -> str:
    parts = path.relative_to(ROOT.parent).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def imported_names(path: Path) -> set[str]:
    """Every name that a file imports from features/, wherever in the file it does."""
    names = set()
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            names |= {node.module, *(f"{node.module}.{alias.name}" for alias in node.names)}
    return {name for name in names if name.startswith("features.")}


def test_no_module_is_in_an_import_circle():
    paths = {module_name(path): path for path in ROOT.rglob("*.py")}
    graph = {name: imported_names(path) & set(paths) for name, path in paths.items()}
    assert graph["features.store"] >= {"features.checks", "features.hdf5"}
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        raise AssertionError(" imports ".join(reversed(error.args[1]))) from None
