"""Benchmarks are commands too: each is there, says how it is called, and finds what it imports."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from benchmarks import parts, planning, scale, verdict
from benchmarks.images import make_jpegs
from benchmarks.jobs import Job
from benchmarks.real_worlds import RealWorld
from features.storage.store import FeatureFile
from tests.pipeline.featurefiles import clusters, write_features

ROOT = Path(__file__).parent.parent
COMMANDS = [
    "benchmarks" if path.stem == "__main__" else f"benchmarks.{path.stem}"
    for path in sorted((ROOT / "benchmarks").glob("*.py"))
    if "argparse.ArgumentParser(" in path.read_text()
]


@pytest.mark.parametrize("module", COMMANDS)
def test_it_says_how_it_is_called(module):
    result = subprocess.run(
        [sys.executable, "-m", module, "--help"], cwd=ROOT, capture_output=True, text=True
    )
    assert result.returncode == 0, result.stderr
    assert f"python -m {module}" in result.stdout


def test_files_of_many_rows_are_made_and_opened(tmp_path):
    command = [sys.executable, "-m", "benchmarks.scale", "open", "--rows", "5000", "--width", "8"]
    result = subprocess.run(
        [*command, "--folder", str(tmp_path)], cwd=ROOT, capture_output=True, text=True
    )
    assert result.returncode == 0, result.stderr
    assert "5,000 rows" in result.stdout and "ids" in result.stdout
    scale.overlapping(tmp_path / "x.h5", 3000, 6)
    with FeatureFile(tmp_path / "x.h5") as file:
        assert file.problems() == [] and file.features().shape == (3000, 6)
        assert set(file.labels.tolist()) == set(range(scale.CLASSES))


def test_shards_of_many_rows_are_assembled_and_opened(tmp_path):
    command = [sys.executable, "-m", "benchmarks.scale", "assemble", "--layout", "sharded"]
    result = subprocess.run(
        [*command, "--rows", "1300", "--width", "8", "--folder", str(tmp_path)],
        cwd=ROOT, capture_output=True, text=True,
    )  # fmt: skip
    assert result.returncode == 0, result.stderr
    facts = result.stdout.splitlines()[2].split()
    assert facts[:3] == ["1,300", "sharded", "3"] and "1,300 rows" in result.stdout


@pytest.mark.parametrize("part", planning.PARTS)
def test_planning_is_measured_for_each_kind_of_source(part, tmp_path):
    command = [sys.executable, "-m", "benchmarks.planning", part, "--records", "2500"]
    result = subprocess.run(
        [*command, "--folder", str(tmp_path)], cwd=ROOT, capture_output=True, text=True
    )
    assert result.returncode == 0, result.stderr
    assert f"{part}, 2,500" in result.stdout and "its fingerprint" in result.stdout


def test_the_parts_of_an_extraction_that_need_no_network_are_measured(tmp_path):
    folder = make_jpegs(tmp_path / "jpegs", 6, size=(60, 45))
    job = Job("parts.decoding", folder, tmp_path, 6, batch=4, size=32)
    figures = parts.decoding(job)
    assert figures["images"] == 6 and min(figures["loading"], figures["pillow"]) > 0
    path = write_features(tmp_path / "features.h5", *clusters(40))
    assert parts.writing_rate(path) > 0


def test_the_verdict_holds_in_short(tmp_path):
    command = [sys.executable, "-m", "benchmarks.verdict", "--quick", "--out"]
    result = subprocess.run(
        [*command, str(tmp_path / "rows.json")], cwd=ROOT, capture_output=True, text=True
    )
    assert result.returncode == 0, result.stderr
    rows = json.loads((tmp_path / "rows.json").read_text())["rows"]
    assert len({row["data"] for row in rows}) == 4
    mean = {column: np.mean([row[column] for row in rows]) for column in verdict.COLUMNS}
    assert mean["equal in"] > 80
    assert mean["best in"] > 90
    assert 85 < mean["covers"] < 100
    assert mean["as images"] < mean["covers"]
    assert abs(mean["corrected"]) < 1 < mean["naive"]
    assert mean["corr. covers"] > 80
    assert mean["from floor"] < 12
    assert "1:20, 40 patients x 25" in result.stdout


def test_the_verdict_draws_from_feature_files_too(tmp_path):
    path = write_features(tmp_path / "f.h5", *clusters(900, classes=6, spread=3.0))
    for share, classes in ((None, 6), (1 / 21, 2)):
        verdict._start(RealWorld([path], share))
        outcomes = verdict._judged(0)
        assert set(outcomes) == set(verdict.METRICS)
        assert set(outcomes["macro_f1"]) == set(verdict.COLUMNS) - {"equal in", "+-"}
        assert verdict._world.draw(0).settings.probabilities.shape[3] == classes
