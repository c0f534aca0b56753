"""A decision threshold for two classes: chosen on validation, kept, applied, and judged fairly."""

import json

import numpy as np
import pytest
from sklearn import metrics as reference

from features.errors import UsageError
from pipeline.commands import main as cli
from pipeline.config import (
    ClassifyConfig,
    CompareConfig,
    EvaluateConfig,
    FinetuneConfig,
    ReportConfig,
)
from pipeline.data.splits import Splits
from pipeline.reports.comparison import text as comparison_text
from pipeline.reports.evaluation import text as evaluation_text
from pipeline.results import decisions
from pipeline.results.evaluation import TEST
from pipeline.results.folder import ResultsFolder
from pipeline.results.predictions import Predictions
from pipeline.results.records import candidates
from pipeline.stages import classify, compare, evaluate, report
from pipeline.statistics import calibration, metrics, threshold
from tests.pipeline.browser import browser  # noqa: F401 # a fixture
from tests.pipeline.featurefiles import write_features
from tests.pipeline.stages.test_report import Page

NAME, NAMES = "vgg16.a.logistic", ["fine", "torn"]


@pytest.fixture(scope="module")
def features(tmp_path_factory):
    """Images of which one in ten is torn, and looks much like the others."""
    rng = np.random.default_rng(0)
    labels = (np.arange(400) % 10 == 0).astype(np.int32)
    x = rng.normal(size=(400, 6)).astype(np.float32)
    x[labels == 1, 0] += 1.5
    return write_features(tmp_path_factory.mktemp("torn") / "torn.h5", x, labels, class_names=NAMES)


@pytest.fixture(scope="module")
def results(features, tmp_path_factory):
    return run(features, tmp_path_factory.mktemp("torn") / "results", asked=True)


def run(features, out, asked):
    config = ClassifyConfig(
        features, out, ("logistic", "dummy"), metric="balanced_accuracy", threshold=asked,
        folds=3, tune=False, progress=False,
    )  # fmt: skip
    return classify.run(config).path


def test_it_is_kept_with_how_it_was_chosen_and_scored_by_thresholds_of_other_images(results):
    record, splits = candidates(results)[NAME], Splits.read(results)
    kept, labels = record.threshold, splits.labels[splits.validated]
    assert (kept["class"], kept["metric"]) == ("torn", "balanced_accuracy")
    stored = Predictions.read(results / NAME / "validation.parquet", NAMES)
    order = [stored.ids.index(splits.ids[place]) for place in splits.validated]
    given = stored.repeats[:, order]
    torn = np.stack([calibration.apply(each, record.temperature)[:, 1] for each in given])
    best = threshold.choose("balanced_accuracy", np.tile(labels, 2), torn.ravel())
    assert kept["value"] == best.value < 0.3
    predicted = threshold.cross_fitted("balanced_accuracy", labels, torn, np.arange(len(labels)), 0)
    scores = [metrics.of_labels(labels, each, 2)["balanced_accuracy"] for each in predicted]
    assert kept["score"] == pytest.approx(np.mean(scores))
    assert kept["usual"] + 0.05 < kept["score"] < best.score
    comparison = compare.run(CompareConfig(results, resamples=20))
    assert comparison.best == NAME
    row = comparison.rows[0]
    assert row["balanced_accuracy"] == pytest.approx(kept["score"], abs=1e-5)
    assert (row["threshold"], row["threshold_class"]) == (
        pytest.approx(kept["value"], rel=1e-4),
        "torn",
    )
    assert row["balanced_accuracy_low"] < kept["score"] < row["balanced_accuracy_high"]
    assert (comparison.confusion == metrics.confusion(labels, predicted[0], 2)).all()
    assert len(comparison.mistakes()) == (predicted[0] != labels).sum()
    frame = ResultsFolder(results).frame().set_index("candidate")
    assert frame.loc[NAME, "score"] == pytest.approx(kept["score"])
    assert "from: the probability from which torn is predicted" in comparison_text(comparison)


def test_new_images_are_judged_by_it(results):
    record, splits = candidates(results)[NAME], Splits.read(results)
    result = evaluate.run(EvaluateConfig(results, NAME, resamples=20))
    stored = Predictions.read(results / NAME / TEST, NAMES)
    torn = calibration.apply(stored.probabilities, record.temperature)[:, 1]
    predicted = (torn >= record.threshold["value"]).astype(int)
    assert predicted.sum() > (stored.probabilities[:, 1] > 0.5).sum()
    recalls = [(predicted == label)[stored.labels == label].mean() for label in (0, 1)]
    facts = result.facts["metrics"]
    assert facts["balanced_accuracy"]["value"] == pytest.approx(np.mean(recalls))
    assert (result.confusion == metrics.confusion(stored.labels, predicted, 2)).all()
    assert len(result.mistakes()) == (predicted != stored.labels).sum()
    assert "torn is predicted from a calibrated probability of 0." in evaluation_text(result)
    assert result.facts["images"] == len(splits.test)


def test_it_comes_and_goes_without_another_fit_or_opening(features, tmp_path, caplog):
    caplog.set_level("INFO")
    out = run(features, tmp_path / "results", asked=False)
    before = candidates(out)[NAME]
    assert before.threshold == {}
    assert "threshold" not in compare.run(CompareConfig(out, resamples=20)).rows[0]
    usual = evaluate.run(EvaluateConfig(out, NAME, resamples=20))
    run(features, out, asked=True)
    after = candidates(out)[NAME]
    assert after.threshold
    assert (after.created, after.model, after.key) == (before.created, before.model, before.key)
    assert f"{NAME}: torn from a probability of " in caplog.text
    page = ReportConfig(out, tmp_path / "page.html", resamples=20)
    assert report.run(page).tests == {}
    assert f"{NAME}: its threshold is another than that of its result" in caplog.text
    again = evaluate.run(EvaluateConfig(out, NAME, resamples=20))
    assert report.run(page).tests[0] == again.facts
    assert (again.fresh, again.renewed, len(again.openings)) == (False, True, 1)
    assert again.confusion[1, 1] > usual.confusion[1, 1]
    run(features, out, asked=False)
    assert candidates(out)[NAME] == before
    assert "its threshold is dropped, as --threshold is not given" in caplog.text
    last = evaluate.run(EvaluateConfig(out, NAME, resamples=20))
    assert last.facts["metrics"] == usual.facts["metrics"]


def test_the_page_has_it_too_and_the_curve_of_the_rarer_class(results, tmp_path):
    config = ReportConfig(results, tmp_path / "page.html", resamples=20)
    made = report.run(config)
    page, record = Page(made.path), candidates(results)[NAME]
    assert f">{record.threshold['value']:.3f}<" in page.html
    assert "--metric balanced_accuracy --threshold" in page.html
    ranking = made.comparison.ranking
    scores = ranking.entry(NAME).calibrated[:, 1]
    precision, recall, _ = reference.precision_recall_curve(ranking.labels, scores)
    chance, line, point = page.data["figures"]["precision-0"]["data"]
    assert len(line["x"]) == 200
    drawn = set(zip(line["x"], line["y"], strict=True))
    assert drawn <= set(zip((100 * recall).round(2), (100 * precision).round(2), strict=True))
    predicted = ranking.entry(NAME).predicted
    assert point["x"][0] == pytest.approx(
        100 * reference.recall_score(ranking.labels, predicted), abs=0.01
    )
    assert point["y"][0] == pytest.approx(
        100 * reference.precision_score(ranking.labels, predicted), abs=0.01
    )
    assert chance["y"] == pytest.approx([10, 10])
    mean = np.mean([reference.average_precision_score(ranking.labels, given[:, 1])
                    for given in ranking.entry(NAME).probabilities])  # fmt: skip
    assert page.data["candidates"][0]["precision"] == f"{mean:.4f}"
    assert made.comparison.rows[0]["average_precision"] == pytest.approx(mean, abs=1e-5)
    assert "torn among fine" in page.text("mistakes")


def test_the_curve_is_drawn_for_the_candidate_that_is_chosen(browser, results, tmp_path):  # noqa: F811
    browser.open(report.run(ReportConfig(results, tmp_path / "page.html", resamples=20)).path)
    plot = browser.one("#plot-precision")
    assert len(plot.find_elements("css selector", "svg.main-svg .trace")) == 3
    first = browser.one("#average-precision").text
    browser.run(
        "const choice = document.querySelector('select.candidate');"
        "choice.value = 1; choice.dispatchEvent(new Event('change'))"
    )
    assert browser.one("#average-precision").text < first
    assert browser.complaints() == []


def test_without_a_threshold_the_more_probable_class_is_decided_for():
    values = np.array([[0.5, 0.5], [0.4, 0.6]], np.float32)
    assert decisions.decide({}, NAMES, values, 2.0).tolist() == [0, 1]
    kept = {"class": "fine", "value": 0.4}
    assert decisions.decide(kept, NAMES, values, 1.0).tolist() == [0, 0]


def test_it_is_for_two_classes_and_metrics_of_classes(tmp_path, capsys):
    x = np.random.default_rng(0).normal(size=(60, 4)).astype(np.float32)
    three = write_features(tmp_path / "three.h5", x, np.arange(60, dtype=np.int32) % 3)
    out = tmp_path / "results"
    assert cli.main(["classify", str(three), "--out", str(out), "--threshold"]) == 2
    error = capsys.readouterr().err.strip()
    assert error == "error: --threshold is between two classes, and here are 3; leave it out"
    assert not (out / "splits.parquet").exists()
    for make in (ClassifyConfig, FinetuneConfig):
        with pytest.raises(UsageError, match="no threshold changes roc_auc; give it a --metric"):
            make(three, out, metric="roc_auc", threshold=True)


def test_it_stands_in_the_files(results):
    compare.run(CompareConfig(results, resamples=20))
    facts = json.loads((results / compare.JSON).read_text())
    assert {row["candidate"]: row.get("threshold_class") for row in facts["candidates"]} == {
        NAME: "torn",
        "vgg16.a.dummy": "torn",
    }
