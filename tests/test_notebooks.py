"""Every notebook runs from top to bottom, and defines nothing that belongs into a module."""

import ast
import json
from pathlib import Path

import pytest

from pipeline.reports.comparison import text as comparison_text
from pipeline.reports.evaluation import text as evaluation_text

NOTEBOOKS = sorted((Path(__file__).parent.parent / "notebooks").glob("*.ipynb"))


def cells(path: Path) -> list[str]:
    content = json.loads(path.read_text())["cells"]
    return ["".join(cell["source"]) for cell in content if cell["cell_type"] == "code"]


@pytest.fixture
def run(real_weights, tmp_path, monkeypatch, capsys):
    """A function that runs a notebook in an empty folder; returns its names and what it said."""

    def run(stem: str, backbone: str) -> tuple[dict, str]:
        real_weights(backbone)
        monkeypatch.chdir(tmp_path)
        monkeypatch.setenv("MPLBACKEND", "agg")
        (path,) = (path for path in NOTEBOOKS if path.stem == stem)
        names: dict = {}
        for cell in cells(path):
            exec(compile(cell, path.name, "exec"), names)
        return names, capsys.readouterr().out

    return run


def test_features_are_made_and_looked_at(run):
    names, said = run("01_features", "resnet50")
    assert "1-nearest-neighbour accuracy on 100 test images" in said
    assert names["accuracy"] > 0.3


@pytest.mark.filterwarnings("ignore:FigureCanvasAgg is non-interactive")
def test_classifiers_are_compared_and_one_is_tested_once(run):
    names, said = run("comparing_classifiers", "vgg16")
    comparison, evaluation = names["comparison"], names["evaluation"]
    assert {entry.record.method for entry in comparison.ranking.entries} == set(names["chosen"])
    assert comparison_text(comparison) in said
    assert evaluation_text(evaluation) in said
    assert comparison.confusion.trace() / comparison.confusion.sum() > 0.5
    assert len(names["worst"]) == 10


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_it_defines_nothing_and_keeps_no_output(path):
    for cell in cells(path):
        kinds = {type(node) for node in ast.walk(ast.parse(cell))}
        assert not kinds & {ast.FunctionDef, ast.ClassDef}
    stored = json.loads(path.read_text())["cells"]
    assert not any(cell.get("outputs") for cell in stored)
