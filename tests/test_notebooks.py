"""Every notebook runs from top to bottom, and defines nothing that belongs into a module."""

import ast
import json
from pathlib import Path
from typing import Any

import pytest

NOTEBOOKS = sorted((Path(__file__).parent.parent / "notebooks").glob("*.ipynb"))


def cells(path: Path) -> list[str]:
    content = json.loads(path.read_text())["cells"]
    return ["".join(cell["source"]) for cell in content if cell["cell_type"] == "code"]


def run_cell(text: str, name: str, names: dict[str, Any]) -> Any:
    """Run a cell; return the value of its last line, which a notebook would show."""
    *body, last = ast.parse(text).body
    if not isinstance(last, ast.Expr):
        body, last = [*body, last], None
    exec(compile(ast.Module(body, []), name, "exec"), names)
    return last and eval(compile(ast.Expression(last.value), name, "eval"), names)


@pytest.fixture
def run(real_weights, tmp_path, monkeypatch, capsys):
    """A function that runs a notebook in an empty folder.

    Returns its names, what it printed, and what its cells showed.
    """

    def run(stem: str, backbone: str) -> tuple[dict, str, list]:
        real_weights(backbone)
        monkeypatch.chdir(tmp_path)
        monkeypatch.setenv("MPLBACKEND", "agg")
        (path,) = (path for path in NOTEBOOKS if path.stem == stem)
        names: dict = {}
        shown = [run_cell(cell, path.name, names) for cell in cells(path)]
        return names, capsys.readouterr().out, shown

    return run


def is_shown(value: Any, shown: list) -> bool:
    """Whether a cell shows this very object, as text and as HTML that a notebook takes."""
    return (
        any(value is each for each in shown)
        and value._repr_html_().lstrip().startswith("<")
        and not repr(value).startswith("<")
    )


def test_features_are_made_and_looked_at(run):
    names, printed, shown = run("01_features", "resnet50")
    assert "1-nearest-neighbour accuracy on 75 validation images" in printed
    assert names["accuracy"] > 0.3
    test = set((names["file"].splits == names["Split"].TEST).nonzero()[0])
    assert not test & {*names["train"], *names["validation"]}
    assert shown[-1] == (2, 2048)


@pytest.mark.filterwarnings("ignore:FigureCanvasAgg is non-interactive")
def test_classifiers_are_compared_and_one_is_tested_once(run):
    names, _, shown = run("comparing_classifiers", "vgg16")
    comparison, evaluation = names["comparison"], names["evaluation"]
    assert {entry.record.method for entry in comparison.ranking.entries} == set(names["chosen"])
    assert is_shown(names["results"], shown)
    assert is_shown(comparison, shown)
    assert is_shown(evaluation, shown)
    assert len(evaluation.openings) == 1
    assert comparison.confusion.trace() / comparison.confusion.sum() > 0.5
    assert len(names["worst"]) == 10
    assert (names["worst"]["label"] != names["worst"]["predicted"]).all()


@pytest.mark.filterwarnings("ignore:FigureCanvasAgg is non-interactive")
def test_the_winner_predicts_photographs_and_goes_along(run):
    names, _, shown = run("using_the_winner", "resnet50")
    assert is_shown(names["predicted"], shown)
    assert len(names["pictures"]) == 2
    frame = names["predicted"].frame()
    assert frame["class"][0] == "cat"
    assert frame["unlike"].tolist() == [False, True]
    assert shown[-1] is True


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_it_defines_nothing_and_keeps_no_output(path):
    for cell in cells(path):
        kinds = {type(node) for node in ast.walk(ast.parse(cell))}
        assert not kinds & {ast.FunctionDef, ast.ClassDef}
    stored = json.loads(path.read_text())["cells"]
    assert not any(cell.get("outputs") for cell in stored)
