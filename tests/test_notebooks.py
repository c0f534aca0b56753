"""Every notebook runs from top to bottom, and defines nothing that belongs into a module."""

import ast
import json
from pathlib import Path

import pytest

NOTEBOOKS = sorted((Path(__file__).parent.parent / "notebooks").glob("*.ipynb"))


def cells(path: Path) -> list[str]:
    content = json.loads(path.read_text())["cells"]
    return ["".join(cell["source"]) for cell in content if cell["cell_type"] == "code"]


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_it_runs(path, real_weights, tmp_path, monkeypatch, capsys):
    real_weights("resnet50")
    monkeypatch.chdir(tmp_path)
    names: dict = {}
    for cell in cells(path):
        exec(compile(cell, path.name, "exec"), names)
    assert "1-nearest-neighbour accuracy on 100 test images" in capsys.readouterr().out
    assert names["accuracy"] > 0.3


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_it_defines_nothing_and_keeps_no_output(path):
    for cell in cells(path):
        kinds = {type(node) for node in ast.walk(ast.parse(cell))}
        assert not kinds & {ast.FunctionDef, ast.ClassDef}
    stored = json.loads(path.read_text())["cells"]
    assert not any(cell.get("outputs") for cell in stored)
