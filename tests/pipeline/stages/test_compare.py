"""Candidates held against each other, without a look at the locked test."""

import csv
import dataclasses
import json
import math
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from features.errors import DataError, UsageError
from features.storage import store
from pipeline.config import CompareConfig, EvaluateConfig
from pipeline.data import duplicates
from pipeline.data.splits import Splits
from pipeline.reports.comparison import text as comparison_text
from pipeline.reports.evaluation import text as evaluation_text
from pipeline.results import verdict
from pipeline.results.predictions import VALIDATION, Predictions
from pipeline.results.ranking import rank_candidates
from pipeline.results.records import read_record
from pipeline.results.trials import TriedSettings
from pipeline.stages import compare, evaluate
from pipeline.statistics import influence, scoring
from pipeline.statistics.influence import Measured
from tests.pipeline import candidates
from tests.pipeline.candidates import NAMES, predict

BEST, CENTROID, DUMMY = (f"vgg16.pool.{method}" for method in candidates.METHODS)


@pytest.fixture
def results(tmp_path):
    return candidates.results(tmp_path)


def run(*results, **settings):
    return compare.run(CompareConfig(results, resamples=50, **settings))


def answer(results, name, accuracy, **changes):
    """Give a candidate predictions of its own: right in the first images, a share of all."""
    path = results / name / VALIDATION
    old = Predictions.read(path, NAMES)
    right = np.arange(len(old.ids)) < accuracy * len(old.ids)
    values = np.eye(3, dtype=np.float32)[np.where(right, old.labels, (old.labels + 1) % 3)]
    predict(results, name, Predictions(old.ids, old.labels, values * 0.7 + 0.1))
    candidates.change(results, name, **changes)


def test_ranked_with_everything_in_three_forms(results):
    (results / "vgg16.pool.rbf-svm").mkdir()
    comparison = run(results)
    rows = list(csv.DictReader((results / compare.CSV).open()))
    facts = json.loads((results / compare.JSON).read_text())
    assert comparison.best == rows[0]["candidate"] == facts["best"]
    assert rows[-1]["candidate"] == DUMMY
    scores = [float(row["accuracy"]) for row in rows]
    assert scores == sorted(scores, reverse=True)
    for row in rows:
        for name in ("accuracy", "macro_f1", "log_loss", "roc_auc", "calibration_error"):
            assert float(row[f"{name}_low"]) <= float(row[f"{name}_high"])
    assert [row["class"] for row in facts["per_class"]] == list(NAMES)
    assert sum(row["images"] for row in facts["per_class"]) == facts["images"] == 240
    assert facts["unfinished"] == [str(results / "vgg16.pool.rbf-svm")]
    text = comparison_text(comparison)
    assert all(name in text for name in (BEST, CENTROID, DUMMY))
    assert "not finished: " in text
    assert max(map(len, text.split("\n\n")[1].splitlines())) <= 150


def test_equal_inputs_and_seeds_give_equal_files(results, tmp_path):
    run(results, out=tmp_path / "a", seed=1)
    run(results, out=tmp_path / "b", seed=1)
    run(results, out=tmp_path / "c", seed=2)
    a, b, c = ((tmp_path / name / compare.JSON).read_bytes() for name in "abc")
    assert a == b != c


def test_the_cheapest_that_gives_up_little_is_recommended(results):
    answer(results, BEST, 0.90, seconds={"search": 0, "fit": 100.0, "predict_1000": 101.0})
    answer(results, CENTROID, 0.895, seconds={"search": 0, "fit": 2.0, "predict_1000": 3.0})
    comparison = run(results)
    assert (comparison.best, comparison.recommended) == (BEST, CENTROID)
    assert comparison.ranking.could_be_best.tolist() == [True, True, False]
    assert "costs 3 s instead of 101 s" in comparison_text(comparison)
    assert run(results, give_up=0.1).recommended == BEST
    assert rank_candidates([results], "accuracy").best_entry.record.name == BEST
    assert rank_candidates([results], "accuracy").recommended_entry.record.name == CENTROID


def test_no_noise_of_times_decides(results):
    """Ten times the same answers and the times of a busy machine, near a power of two."""
    rng = np.random.default_rng(0)
    for name in (BEST, CENTROID):
        answer(results, name, 0.9, extraction={"seconds_1000": 5.65})
    taken = []
    for _ in range(10):
        for name, seconds in ((BEST, 0.012), (CENTROID, 0.004)):
            spent = {"search": 0, "fit": 1.0, "predict_1000": seconds * rng.lognormal(0, 0.7)}
            candidates.change(results, name, seconds=spent)
        ranking = rank_candidates([results], "accuracy")
        taken.append((ranking.best_entry.label, ranking.recommended_entry.label))
    assert taken == [(BEST, BEST)] * 10


@pytest.mark.parametrize(
    ("costs", "taken"),
    [
        ((0.001, 0.5, 1.9), 2),  # less than images take to be read twice
        ((5.65, 5.66, 5.67), 2),
        ((5.0, 9.9, 10.1), 1),
        ((5.0, 10.1, math.inf), 0),
        ((math.inf, math.inf, math.inf), 2),
    ],
)
def test_what_costs_little_is_chosen_among_by_log_loss(costs, taken):
    measured = Measured("accuracy", np.full(3, 0.9), np.zeros((3, 10)))
    allowed = np.ones(3, bool)
    assert verdict.recommend(measured, allowed, 0, costs, (0.3, 0.2, 0.1), "abc") == taken


def test_what_is_told_from_the_best_is_not_recommended_however_cheap(results):
    answer(results, BEST, 0.95, seconds={"search": 0, "fit": 100.0, "predict_1000": 1.0})
    answer(results, CENTROID, 0.75)
    comparison = run(results)
    assert comparison.recommended == BEST
    assert comparison.ranking.could_be_best.sum() == 1
    assert "no other could be" in comparison_text(comparison)


def test_class_frequencies_are_never_recommended_but_the_tie_is_told(results):
    for name in (BEST, CENTROID, DUMMY):
        answer(results, name, 0.5)
    candidates.change(results, DUMMY, seconds={"search": 0, "fit": 0.0, "predict_1000": 0.0})
    candidates.change(results, BEST, seconds={"search": 0, "fit": 0.1, "predict_1000": 9.0})
    comparison = run(results)
    assert comparison.recommended == CENTROID
    assert comparison.best == DUMMY  # of equals the first by name


def test_a_dummy_that_could_be_the_best_is_warned_of(results):
    answer(results, BEST, 0.41)
    answer(results, DUMMY, 0.40)
    answer(results, CENTROID, 0.39)
    assert "cannot be told from class frequencies" in comparison_text(run(results))


def test_the_verdict_is_by_the_metric_that_ranks(results):
    """Where 6 % are of a class, what never names it is right in 94 %, and yet no rival."""
    splits = Splits.read(results)
    rare = dataclasses.replace(splits, labels=(np.arange(len(splits)) % 16 == 0).astype(np.int32))
    rare.write(results)
    for name in (BEST, CENTROID, DUMMY):
        candidates.change(results, name, splits=rare.digest)
    labels = rare.labels[rare.validated]
    finds = np.where(np.arange(len(labels)) % 16 < 14, labels, 1 - labels)  # some of all mistaken
    finds[labels == 1] = 1
    for name, predicted in ((BEST, finds), (CENTROID, 0 * labels), (DUMMY, 0 * labels)):
        values = 0.8 * np.eye(3, dtype=np.float32)[predicted] + 0.2 / 3
        ids = tuple(rare.ids[place] for place in rare.validated)
        predict(results, name, Predictions(ids, labels, values))
    by_accuracy, by_f1 = (run(results, metric=name) for name in ("accuracy", "macro_f1"))
    assert by_accuracy.best != BEST  # always the frequent class: right in 94 % of the images
    assert by_accuracy.recommended is None
    assert "recommended: none" in comparison_text(by_accuracy)
    assert (by_f1.best, by_f1.recommended) == (BEST, BEST)
    assert by_f1.ranking.could_be_best.tolist() == [True, False, False]


def test_another_metric_ranks(results):
    assert run(results, metric="macro_f1").ranking.metric == "macro_f1"
    with pytest.raises(UsageError, match="no metric is called 'auc'"):
        run(results, metric="auc")


def test_the_metric_that_chose_ranks_unless_another_is_asked_for(results):
    for name in (BEST, CENTROID, DUMMY):
        candidates.change(results, name, metric="log_loss")
    comparison = run(results)
    assert comparison.ranking.metric == "log_loss"
    losses = [row["log_loss"] for row in comparison.rows]
    assert losses == sorted(losses)  # a loss is better the lower it is
    assert "ranked by log loss, by which they were chosen" in comparison_text(comparison)
    evaluation = evaluate.run(EvaluateConfig(results, "recommended"))
    assert evaluation.facts["candidate"] == comparison.recommended
    assert run(results, metric="accuracy").ranking.metric == "accuracy"
    candidates.change(results, DUMMY, metric="roc_auc")
    with pytest.raises(UsageError, match=r"different metrics \(log_loss, roc_auc\)"):
        run(results)


@pytest.mark.parametrize("metric", ["roc_auc", "average_precision"])
def test_areas_rank_too(results, metric):
    comparison = run(results, metric=metric)
    scores = [row[metric] for row in comparison.rows]
    assert scores == sorted(scores, reverse=True)
    assert comparison.recommended in (BEST, CENTROID)
    assert rank_candidates([results], metric).entries[-1].label == DUMMY


def test_the_best_of_many_tried_settings_is_too_good(results):
    """Of settings that know nothing the best is lucky here, and new images will show it."""
    splits = Splits.read(results)
    labels = splits.labels[splits.validated]
    rng = np.random.default_rng(0)
    given = np.eye(3)[rng.integers(0, 3, (200, len(labels)))]
    tried = TriedSettings.of("accuracy", labels, given, [0.0] * 200)
    lucky = tried.predicted[(tried.predicted == labels).mean(axis=1).argmax()]
    path = results / BEST / VALIDATION
    ids = Predictions.read(path, NAMES).ids
    values = 0.7 * np.eye(3, dtype=np.float32)[lucky] + 0.1
    predict(results, BEST, Predictions(ids, labels, values))
    for name in (CENTROID, DUMMY):
        answer(results, name, 0.3)
    candidates.change(results, BEST, trials_file=tried.write(results / BEST))
    comparison = run(results)
    assert comparison.best == BEST
    assert comparison.ranking.scores[0] > 0.38
    assert comparison.expected.value == pytest.approx(1 / 3, abs=0.06)
    assert comparison.expected.low < 1 / 3 < comparison.expected.high
    assert comparison.recommended is None
    assert "the best of 203 candidates and settings" in comparison_text(comparison)
    facts = json.loads((results / compare.JSON).read_text())
    assert facts["expected"]["value"] == pytest.approx(comparison.expected.value, abs=1e-5)
    chosen = evaluate.run(EvaluateConfig(results, "best"))
    assert chosen.choice.expected.value == pytest.approx(1 / 3, abs=0.06)
    assert "validation promised a accuracy" not in evaluation_text(chosen)
    assert "validation promised an accuracy of" in evaluation_text(chosen)


def test_settings_are_remembered_by_the_metric_of_probabilities_that_chose(results):
    splits = Splits.read(results)
    labels = splits.labels[splits.validated]
    given = np.random.default_rng(0).dirichlet(np.ones(3), (50, len(labels)))
    scores = [float(scoring.score("log_loss", labels, one)) for one in given]
    tried = TriedSettings.of("log_loss", labels, given, scores)
    candidates.change(results, BEST, trials_file=tried.write(results / BEST))
    family = rank_candidates([results], "log_loss").family
    measured = influence.measure("log_loss", labels, given)
    assert family.scores[3:] == pytest.approx(measured.scores)
    assert family.influence[3:] == pytest.approx(measured.influence, rel=1e-5)
    assert len(rank_candidates([results], "accuracy").family.scores) == 53  # by their classes
    assert len(rank_candidates([results], "roc_auc").family.scores) == 3  # which they do not tell


def test_image_size_and_precision_are_shown_where_they_differ(results):
    assert "conditions" not in run(results).rows[0]
    inputs = read_record(results / BEST).inputs
    small = inputs | {"recipe": inputs["recipe"] | {"image_size": [96, 96]}}
    candidates.change(results, BEST, inputs=small)
    comparison = run(results)
    shown = {row["candidate"]: row["conditions"] for row in comparison.rows}
    assert shown[BEST] == "96 x 96"
    assert shown[CENTROID] == shown[DUMMY] != "96 x 96"
    assert " images " in comparison_text(comparison)


def test_the_metric_that_ranks_has_its_interval_in_the_table(results):
    comparison = run(results, metric="macro_f1")
    row = comparison.rows[0]
    bounds = f"[{100 * row['macro_f1_low']:.1f}, {100 * row['macro_f1_high']:.1f}]"
    assert f"{100 * row['macro_f1']:.1f} {bounds}" in comparison_text(comparison)


def test_warnings_of_the_last_fit_are_marked_and_told_once(results):
    warning = "ConvergenceWarning: it did not converge"
    for name in (BEST, CENTROID):
        candidates.change(results, name, warnings=(warning,))
    comparison = run(results)
    text = comparison_text(comparison)
    marked = [line for line in text.split("\n\n")[1].splitlines() if "!" in line]
    assert len(marked) == 2
    assert text.count(warning) == 1
    assert f"!: warned in the last fit: {warning} ({comparison.best}, " in text
    facts = json.loads((results / compare.JSON).read_text())
    assert [row["warnings"] for row in facts["candidates"]] == [[warning], [warning], []]


def test_the_cost_of_training_again_is_from_images(results):
    assert "train_seconds" not in run(results).rows[0]  # the rate of the extraction is not known
    candidates.change(results, BEST, extraction={"seconds_1000": 20.0})
    row = {row["candidate"]: row for row in run(results).rows}[BEST]
    assert row["train_seconds"] == 1.0 + 20 * 240 / 1000
    assert row["images_1000_seconds"] == 0.5 + 20


def test_one_candidate_alone(tmp_path):
    comparison = run(candidates.results(tmp_path, ["ridge"]))
    assert comparison.best == comparison.recommended == "vgg16.pool.ridge"
    assert "the only candidate" in comparison_text(comparison)


def test_the_locked_test_and_the_features_are_never_opened(results, monkeypatch):
    for name in (BEST, CENTROID, DUMMY):
        (results / name / "test.parquet").write_bytes(b"no one reads this")
        (results / name / "test.json").write_bytes(b"nor this")
    scored = set()
    read = Predictions.read.__func__

    def watched(cls, *given):
        predictions = read(cls, *given)
        scored.update(predictions.ids)
        return predictions

    def refused(*rest):
        raise AssertionError("features were opened")

    monkeypatch.setattr(Predictions, "read", classmethod(watched))
    monkeypatch.setattr(store.FeatureFile, "__init__", refused)
    before = run(results)
    splits = Splits.read(results)
    assert not scored & {splits.ids[place] for place in splits.test}
    # Whatever the labels of the locked images are, the comparison is the same.
    labels = splits.labels.copy()
    labels[splits.test] = 0
    changed = dataclasses.replace(splits, labels=labels)
    changed.write(results)
    for name in (BEST, CENTROID, DUMMY):
        candidates.change(results, name, splits=changed.digest)
    assert run(results).rows == before.rows


def test_predictions_of_locked_images_are_refused(results):
    splits = Splits.read(results)
    path = results / BEST / VALIDATION
    old = Predictions.read(path, NAMES)
    ids = (splits.ids[splits.test[0]], *old.ids[1:])
    predict(results, BEST, Predictions(ids, old.labels, old.probabilities))
    with pytest.raises(DataError, match="exactly the 240 of its split"):
        run(results)


def test_predictions_in_another_order_are_put_in_order(results):
    before = run(results).rows
    path = results / BEST / VALIDATION
    old = Predictions.read(path, NAMES)
    turned = Predictions(old.ids[::-1], old.labels[::-1], old.probabilities[::-1])
    predict(results, BEST, turned)
    assert run(results).rows == before


def test_each_repeat_of_cross_validation_is_scored_by_itself(results):
    """Averaged probabilities would be an ensemble, which nobody keeps."""
    splits = Splits.read(results)
    twice = dataclasses.replace(splits, folds=np.repeat(splits.folds, 2, axis=0))
    twice.write(results)
    for name in (BEST, CENTROID, DUMMY):
        candidates.change(results, name, splits=twice.digest)
    path = results / BEST / VALIDATION
    old = Predictions.read(path, NAMES)
    right, wrong = np.eye(3)[old.labels], np.eye(3)[(old.labels + 1) % 3]
    values = np.stack([0.8 * right + 0.2 * wrong, 0.4 * right + 0.6 * wrong]).astype(np.float32)
    predict(results, BEST, Predictions(old.ids, old.labels, values))
    rows = {row["candidate"]: row for row in run(results).rows}
    assert rows[BEST]["accuracy"] == 0.5
    assert rows[BEST]["log_loss"] == pytest.approx(-np.log([0.8, 0.4]).mean(), abs=1e-5)
    ranking = rank_candidates([results], "accuracy")
    assert ranking.entry(BEST).probabilities.shape == (2, 240, 3)
    assert ranking.entry(CENTROID).probabilities.shape == (1, 240, 3)
    assert dict(zip([e.label for e in ranking.entries], ranking.scores, strict=True))[BEST] == 0.5


def test_other_labels_and_what_is_no_probability_are_refused(results):
    path = results / BEST / VALIDATION
    old = Predictions.read(path, NAMES)
    predict(results, BEST, Predictions(old.ids, (old.labels + 1) % 3, old.probabilities))
    with pytest.raises(DataError, match="other labels"):
        run(results)
    predict(results, BEST, Predictions(old.ids, old.labels, old.probabilities * np.nan))
    with pytest.raises(DataError, match="something else than finite fractions"):
        run(results)


def test_several_folders_need_equal_splits(results, tmp_path):
    again = candidates.results(tmp_path / "again", ["ridge", "logistic"])
    comparison = run(results, again)
    labels = [entry.label for entry in comparison.ranking.entries]
    assert {f"{results}/{BEST}", f"{again}/{BEST}", "vgg16.pool.ridge"} <= set(labels)
    other = candidates.results(tmp_path / "other", ["ridge"], seed=1)
    digests = [Splits.read(folder).digest for folder in (results, other)]
    with pytest.raises(UsageError) as error:
        run(results, other)
    assert all(digest in str(error.value) for digest in digests)


def test_a_record_of_other_splits_is_refused(results):
    candidates.change(results, BEST, splits="ab")
    with pytest.raises(DataError, match="belongs to other splits"):
        run(results)


def test_near_duplicates_are_left_out_of_a_second_accuracy(results):
    assert "dedup." not in comparison_text(run(results))
    mark_duplicates(results, "validation")
    comparison = run(results)
    assert comparison.near_duplicates > 0
    assert "dedup." in comparison_text(comparison)
    assert "accuracy_without_twins_low" in comparison.rows[0]


def mark_duplicates(results: Path, split: str) -> None:
    """Find duplicates among features of which every third image repeats one of another split."""
    splits = Splits.read(results)
    rng = np.random.default_rng(0)
    digests = rng.integers(0, 256, (len(splits), 16), np.uint8)
    places = splits.test if split == "test" else np.flatnonzero(splits.folds[0] == 0)
    digests[places[:9]] = digests[np.flatnonzero(splits.folds[0] == 1)[:9]]
    x = rng.normal(size=(len(splits), 30)).astype(np.float32)
    duplicates.write(results, duplicates.find_duplicates(splits, digests, x))


def test_a_fallback_says_its_reason(results):
    candidates.change(results, CENTROID, reason="instead of rbf-svm: it would take 3 hours")
    assert f"{CENTROID}: instead of rbf-svm" in comparison_text(run(results))
    assert read_record(results / CENTROID).reason


def test_a_comparison_is_a_frame_with_the_columns_of_the_file(results):
    comparison = run(results)
    stored = pd.read_csv(results / compare.CSV)
    pd.testing.assert_frame_equal(comparison.frame(), stored, check_dtype=False)
    first, second = repr(comparison).splitlines()
    assert first == "Comparison of 3 candidates by accuracy"
    assert second.startswith(f"recommended: {comparison.recommended}, ")
    candidates.change(results, BEST, title="<b>bold</b>")
    html = run(results)._repr_html_()
    assert "&lt;b&gt;bold" in html
    assert "<b>" not in html


def test_mistakes_are_the_wrong_images_the_surest_first(results):
    comparison = run(results)
    path = results / CENTROID / VALIDATION
    candidates.change(results, CENTROID, temperature=0.5)
    stored = Predictions.read(path, NAMES)
    predicted = stored.probabilities.argmax(axis=1)
    squared = stored.probabilities.astype(float) ** 2  # which is what a temperature of a half does
    mistakes = run(results).mistakes(CENTROID)
    wrong = {stored.ids[row] for row in np.flatnonzero(predicted != stored.labels)}
    assert set(mistakes["id"]) == wrong
    assert mistakes["probability"].is_monotonic_decreasing
    rows = {image: row for row, image in enumerate(stored.ids)}
    for image, label, guess, probability in mistakes.itertuples(index=False):
        row = rows[image]
        assert (label, guess) == (NAMES[stored.labels[row]], NAMES[predicted[row]])
        assert probability == pytest.approx(squared[row].max() / squared[row].sum(), rel=1e-5)
    assert comparison.mistakes().equals(comparison.mistakes(comparison.recommended))
    with pytest.raises(UsageError, match="did you mean"):
        comparison.mistakes(CENTROID[:-1])
