"""The locked test: opened once for a candidate, counted, and never a second time by accident."""

import json
import shutil

import numpy as np
import pytest

from features.disk import durable
from features.disk.locks import locked
from features.errors import DataError, UsageError
from features.processes.packages import sha256_of
from pipeline.config import EvaluateConfig
from pipeline.data.splits import Splits
from pipeline.reports.evaluation import text
from pipeline.results import choosing, openings
from pipeline.results import evaluation as evaluation_files
from pipeline.results.predictions import Predictions
from pipeline.results.records import read_record
from pipeline.stages import evaluate
from pipeline.statistics import estimates
from tests.pipeline import candidates
from tests.pipeline.candidates import NAMES
from tests.pipeline.stages.test_compare import mark_duplicates

BEST, CENTROID, DUMMY = (f"vgg16.pool.{method}" for method in candidates.METHODS)


@pytest.fixture
def results(tmp_path):
    return candidates.results(tmp_path)


def run(results, candidate="best", **settings):
    return evaluate.run(EvaluateConfig(results, candidate, resamples=50, **settings))


def test_the_lock_is_opened_counted_and_the_result_kept(results):
    evaluation = run(results, BEST)
    splits = Splits.read(results)
    predictions = Predictions.read(results / BEST / evaluation_files.TEST, NAMES)
    assert predictions.ids == tuple(splits.ids[place] for place in splits.test)
    right = predictions.probabilities.argmax(axis=1) == splits.labels[splits.test]
    assert evaluation.accuracy == pytest.approx(right.mean())
    assert evaluation.confusion.sum() == len(splits.test)
    stored = json.loads((results / BEST / evaluation_files.RESULT).read_text())
    assert stored["opening"]["number"] == 1
    assert stored["metrics"] == evaluation.facts["metrics"]
    (opening,) = openings.read(results)
    assert (opening.candidate, opening.number) == (BEST, 1)
    assert "the lock was opened once in all" in text(evaluation)
    assert "warning" not in text(evaluation)


def test_the_same_candidate_again_opens_nothing(results, monkeypatch):
    first = run(results, BEST)

    def refused(*rest):
        raise AssertionError("it was opened again")

    monkeypatch.setattr(evaluate.predictors, "predict", refused)
    again = run(results, BEST)
    assert not again.fresh
    assert again.facts["metrics"] == first.facts["metrics"]
    assert len(openings.read(results)) == 1
    assert f"stored at opening 1, {again.openings[0].when}" in text(again)


def test_other_settings_of_intervals_open_nothing(results, monkeypatch):
    first = run(results, BEST).facts
    monkeypatch.setattr(evaluate.predictors, "predict", None)
    wider = run(results, BEST, confidence=0.99)
    assert (wider.fresh, wider.renewed) == (False, True)
    assert len(openings.read(results)) == 1
    before, after = (facts["metrics"]["accuracy"] for facts in (first, wider.facts))
    assert after["value"] == before["value"]
    assert after["low"] < before["low"]
    assert "nothing was opened now" in text(wider)
    assert "computed anew from the stored predictions" in text(wider)
    assert "99% intervals" in text(wider)
    assert wider.facts["opening"] == first["opening"]
    again = run(results, BEST, confidence=0.99)
    assert (again.renewed, again.facts["metrics"]) == (False, wider.facts["metrics"])


def test_a_second_candidate_is_told(results):
    run(results, BEST)
    second = run(results, CENTROID)
    assert second.contenders == 2
    assert "opened 2 times in all" in text(second)
    assert "warning: 2 different candidates" in text(second)
    assert "warning: 2 different candidates" in text(run(results, BEST))


def test_a_candidate_that_was_fitted_again_is_another_one(results):
    run(results, BEST)
    candidates.change(results, BEST, key="another")
    again = run(results, BEST)
    assert again.fresh
    assert again.contenders == 2


@pytest.mark.parametrize("name", [evaluation_files.RESULT, evaluation_files.TEST])
def test_a_changed_result_is_not_believed(results, name):
    run(results, BEST)
    path = results / BEST / name
    path.write_bytes(path.read_bytes().replace(b"0", b"1", 1))
    again = run(results, BEST)
    assert again.fresh
    assert len(again.openings) == 2
    assert again.contenders == 1


def test_the_opening_is_on_disk_before_any_score_is_computed(results, monkeypatch):
    def power_cut(*rest):
        (opening,) = openings.read(results)
        assert opening.candidate == BEST
        raise KeyboardInterrupt

    monkeypatch.setattr(estimates, "estimates", power_cut)
    with pytest.raises(KeyboardInterrupt):
        run(results, BEST)
    assert not (results / BEST / evaluation_files.RESULT).exists()
    monkeypatch.undo()
    assert len(run(results, BEST).openings) == 2


def test_nothing_is_scored_where_the_opening_cannot_be_written(results, monkeypatch):
    write = durable.write

    def full(path, data):
        if path.name == openings.FILE:
            raise OSError(28, "No space left on device")
        write(path, data)

    monkeypatch.setattr(durable, "write", full)
    with pytest.raises(OSError, match="No space"):
        run(results, BEST)
    assert not list(results.glob("*/test.*"))


def test_what_fails_before_costs_no_opening(results):
    features = results.parent / "features.h5"
    moved = features.rename(features.with_name("moved.h5"))
    with pytest.raises(DataError, match="features.h5"):
        run(results, BEST)
    model = results / BEST / read_record(results / BEST).model["file"]
    content = model.read_bytes()
    model.write_bytes(content + b" ")
    with pytest.raises(DataError, match="has changed"):
        run(results, BEST, features=moved)
    assert not openings.read(results)
    model.write_bytes(content)
    assert run(results, BEST, features=moved).fresh


def test_other_features_are_refused(results, tmp_path):
    (tmp_path / "other").mkdir()
    other = candidates.features(tmp_path / "other", spread=0.5)
    with pytest.raises(DataError, match="learned from"):
        run(results, BEST, features=other)
    assert not openings.read(results)


def test_best_and_recommended_are_chosen_on_validation(results):
    cheap = {"search": 0.0, "fit": 0.01, "predict_1000": 0.01}
    candidates.change(results, CENTROID, seconds=cheap)
    ranking = choosing.rank_candidates([results], "accuracy")
    assert run(results, "best").facts["candidate"] == ranking.entries[0].record.name
    chosen = ranking.entries[ranking.recommended].record.name
    evaluation = run(results, "recommended")
    assert evaluation.facts["candidate"] == chosen
    assert "recommended on validation by accuracy" in text(evaluation)


def test_the_best_by_different_metrics_is_not_guessed(results):
    candidates.change(results, DUMMY, metric="macro_f1")
    with pytest.raises(UsageError, match=r"different metrics \(accuracy, macro_f1\)"):
        run(results)
    assert run(results, metric="macro_f1").chosen_by == "best on validation by macro_f1"
    assert run(results, DUMMY).fresh


def test_unknown_names_and_other_kinds_are_told(results, tmp_path):
    with pytest.raises(UsageError, match=f"did you mean {BEST}"):
        run(results, BEST.replace("logistic", "logistik"))
    candidates.change(results, CENTROID, kind="oracle")
    with pytest.raises(
        UsageError, match="is of kind .oracle.; this version knows classifier, network"
    ):
        run(results, CENTROID)
    with pytest.raises(UsageError, match="no results folder"):
        run(tmp_path / "none")
    assert not openings.read(results)


def test_two_processes_do_not_open_it_at_once(results):
    with locked(results), pytest.raises(UsageError, match="another process"):
        run(results, BEST)
    assert run(results, BEST).fresh


def test_a_damaged_count_of_openings_is_told(results):
    (results / openings.FILE).write_text("[]")
    with pytest.raises(DataError, match="nobody knows how often"):
        run(results, BEST)
    assert not list(results.glob("*/test.*"))


def test_openings_outlive_candidates(results):
    run(results, BEST)
    shutil.rmtree(results / BEST)
    assert "opened 2 times in all" in text(run(results, CENTROID))


def test_near_duplicates_of_what_was_learned_are_left_out_of_a_second_accuracy(results):
    mark_duplicates(results, "test")
    evaluation = run(results, BEST)
    assert evaluation.facts["suspects"] == 9
    assert "accuracy without near-duplicates" in text(evaluation)


def test_equal_seeds_give_equal_intervals(results, tmp_path):
    again = candidates.results(tmp_path / "again")
    one, other = run(results, BEST).facts, run(again, BEST).facts
    assert one["metrics"] == other["metrics"]
    assert one["predictions"] == sha256_of(again / BEST / evaluation_files.TEST)
    assert np.array_equal(one["confusion"], other["confusion"])


def test_an_evaluation_is_frames(results):
    evaluation = run(results, BEST)
    frame = evaluation.frame().set_index("metric")
    assert frame.loc["accuracy", "value"] == evaluation.accuracy
    assert (frame["low"] <= frame["high"]).all()
    predictions, mistakes = evaluation.predictions(), evaluation.mistakes()
    assert len(predictions) == evaluation.facts["images"]
    assert np.allclose(predictions[[f"p:{name}" for name in NAMES]].sum(axis=1), 1)
    wrong = predictions[predictions["label"] != predictions["predicted"]]
    assert set(wrong["id"]) == set(mistakes["id"])
    assert len(wrong) == pytest.approx((1 - evaluation.accuracy) * len(predictions))
    assert mistakes["probability"].is_monotonic_decreasing
    assert all(path.is_file() for path in evaluation.files)
    assert repr(evaluation).startswith(f"Evaluation of {BEST} on 60 test images\naccuracy ")
    assert "the test was opened 1 time" in evaluation._repr_html_()
