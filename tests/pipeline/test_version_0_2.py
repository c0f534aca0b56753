"""A feature file and a results folder that version 0.2.0 wrote are read, judged and gone on with."""

import json
import shutil
from pathlib import Path

import pytest

from features import FeatureFile
from pipeline.config import (
    AdviseConfig,
    ClassifyConfig,
    CompareConfig,
    EvaluateConfig,
    ReportConfig,
)
from pipeline.results import openings
from pipeline.results.records import read_record
from pipeline.stages import advise, classify, compare, evaluate, report

OLD = Path(__file__).parents[1] / "data" / "version_0_2"
RIDGE, LOGISTIC = "vgg16.block5_pool.ridge", "vgg16.block5_pool.logistic"


@pytest.fixture
def old(tmp_path) -> Path:
    """A copy of what version 0.2.0 left."""
    return Path(shutil.copytree(OLD, tmp_path / "old"))


def test_the_feature_file_is_as_it_was_written(old):
    with FeatureFile(old / "features.h5") as file:
        assert file.problems() == []
        assert len(file) == 96
        assert file.layers == ("block4_pool", "block5_pool")
        assert file.class_names == ("cat", "frog", "ship")
        assert file.features("block5_pool").shape == (96, 512)


def test_its_candidates_are_ranked_as_before(old):
    before = {
        row["candidate"]: row
        for row in json.loads((old / "results" / "comparison.json").read_text())["candidates"]
    }
    rows = compare.run(CompareConfig((old / "results",))).rows
    assert len(rows) == 5
    for row in rows:
        for metric in ("accuracy", "macro_f1", "roc_auc", "log_loss"):
            assert row[metric] == pytest.approx(before[row["candidate"]][metric], abs=1e-6)
        # Its intervals were percentiles of a bootstrap; those of now are near to them.
        assert row["accuracy_low"] == pytest.approx(
            before[row["candidate"]]["accuracy_low"], abs=0.1
        )


def test_a_stored_evaluation_is_shown_and_another_candidate_is_opened(old):
    results = old / "results"
    stored = evaluate.run(EvaluateConfig(results, RIDGE))
    assert not stored.fresh
    assert stored.accuracy == pytest.approx(23 / 24)
    other = evaluate.run(EvaluateConfig(results, LOGISTIC, features=old / "features.h5"))
    assert other.fresh
    assert other.accuracy > 0.8
    assert [opening.number for opening in openings.read(results)] == [1, 2]


def test_a_stored_network_is_loaded(old):
    results = old / "results"
    network = evaluate.run(EvaluateConfig(results, "scratch-lenet", source=old / "images.zip"))
    assert network.facts["images"] == 24


def test_the_same_command_goes_on_with_its_splits(old, caplog):
    """Few images have five folds by default now, and had three."""
    caplog.set_level("INFO")
    before = read_record(old / "results" / RIDGE)
    config = ClassifyConfig(
        old / "features.h5", old / "results", ("ridge", "dummy"), progress=False
    )
    classify.run(config)
    assert f"{old / 'results'} keeps its 3 folds" in caplog.text
    assert "2 candidates are fitted again, because of an older version" in caplog.text
    after = read_record(old / "results" / RIDGE)
    assert (after.splits, len(after.trials)) == (before.splits, len(before.trials))
    assert after.key != before.key
    classify.run(config)
    assert "2 of 2 candidates are finished already" in caplog.text


def test_report_and_advice_go_on_from_it(old, tmp_path):
    results = old / "results"
    page = report.run(
        ReportConfig((results,), tmp_path / "report.html", features=(old / "features.h5",))
    ).path
    assert read_record(results / RIDGE).title in page.read_text(encoding="utf-8")
    advice = advise.run(AdviseConfig(old / "features.h5", out=results, progress=False))
    assert advice.facts["splits"] == read_record(results / RIDGE).splits
