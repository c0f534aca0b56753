"""Predictions of another tool: checked against the splits, then a candidate like all others."""

import json

import numpy as np
import pandas as pd
import pytest

from features.errors import DataError, UsageError
from pipeline.commands.main import main
from pipeline.config import AddConfig, CompareConfig, EvaluateConfig, ReportConfig
from pipeline.data.splits import Splits
from pipeline.reports.comparison import text
from pipeline.results import openings
from pipeline.results.external import ONLY_LABELS
from pipeline.results.folder import ResultsFolder
from pipeline.results.predictions import VALIDATION, Predictions
from pipeline.results.records import EXTERNAL
from pipeline.stages import add, compare, evaluate, report
from tests.pipeline import candidates
from tests.pipeline.candidates import NAMES

LOGISTIC = "vgg16.pool.logistic"


def add_predictions(results, table, **settings):
    return add.run(AddConfig(results, table, **settings))


@pytest.fixture
def results(tmp_path):
    return candidates.results(tmp_path)


def table(results, prefix="p:"):
    """Another tool's predictions in another order than that of the splits."""
    stored = Predictions.read(results / LOGISTIC / VALIDATION, NAMES)
    columns = [f"{prefix}{name}" for name in NAMES]
    frame = pd.DataFrame(stored.probabilities.astype(np.float64), columns=columns)
    return frame.assign(id=stored.ids, note="").sample(frac=1, random_state=0)


def labels(results, column):
    frame = table(results, prefix="")
    return pd.DataFrame({"id": frame["id"], column: frame[[*NAMES]].idxmax(axis=1)})


def compared(results):
    return compare.run(CompareConfig((results,), resamples=50))


def test_a_frame_becomes_a_candidate_that_is_ranked(results):
    before = Predictions.read(results / LOGISTIC / VALIDATION, NAMES)
    folder = add_predictions(results, table(results), name="other", title="another tool")
    assert isinstance(folder, ResultsFolder)
    record = folder.records["other"]
    assert (record.kind, record.title, record.reason) == (EXTERNAL, "another tool", "")
    after = Predictions.read(results / "other" / VALIDATION, NAMES)
    rows = {image: row for row, image in enumerate(after.ids)}
    order = [rows[image] for image in before.ids]
    assert np.allclose(after.probabilities[order], before.probabilities)
    frame = compared(results).frame().set_index("candidate")
    for metric in ("accuracy", "log_loss", "roc_auc"):
        assert frame.loc["other", metric] == pytest.approx(frame.loc[LOGISTIC, metric], abs=1e-5)
    assert frame.loc["other", ["fit_seconds", "model_bytes", "peak_bytes"]].isna().all()


@pytest.mark.parametrize("suffix", [".csv", ".parquet"])
@pytest.mark.parametrize("prefix", ["p:", ""])
def test_files_are_read_as_frames_are(results, tmp_path, suffix, prefix):
    frame, path = table(results, prefix), tmp_path / f"predictions{suffix}"
    frame.to_csv(path, index=False) if suffix == ".csv" else frame.to_parquet(path)
    folder = add.run(AddConfig(results, path, "other", seconds=2.5))
    record = folder.records["other"]
    assert record.seconds == {"fit": 2.5}
    assert record.inputs["command"] == (
        f"python -m pipeline add {results} {path} --name other --seconds 2.5"
    )


@pytest.mark.parametrize("column", ["label", "predicted"])
def test_labels_alone_are_taken_and_marked(results, column):
    record = add_predictions(results, labels(results, column), name="other").records["other"]
    assert record.reason == ONLY_LABELS
    assert record.inputs["only_labels"] is True
    comparison = compared(results)
    frame = comparison.frame().set_index("candidate")
    assert frame.loc["other", "accuracy"] == frame.loc[LOGISTIC, "accuracy"]
    assert f"other: {ONLY_LABELS}" in text(comparison)


def test_without_times_it_is_never_the_cheapest(results):
    add_predictions(results, table(results), name="other")
    assert compared(results).recommended != "other"
    add_predictions(results, table(results), name="quick", seconds={"fit": 0.0, "predict_1000": 0})
    assert compared(results).recommended == "quick"


def test_a_slow_best_of_unknown_cost_is_told(results):
    stored = Predictions.read(results / LOGISTIC / VALIDATION, NAMES)
    wrong = np.flatnonzero(stored.probabilities.argmax(axis=1) != stored.labels)[0]
    stored.probabilities[wrong] = np.eye(3)[stored.labels[wrong]]
    frame = pd.DataFrame(stored.probabilities, columns=NAMES).assign(id=stored.ids)
    add_predictions(results, frame, name="other")
    comparison = compared(results)
    assert (comparison.best, comparison.recommended) == ("other", LOGISTIC)
    assert "instead of an unknown time" in text(comparison)


def test_the_report_shows_it(results, tmp_path):
    frame, path = table(results), tmp_path / "mine.csv"
    frame.to_csv(path, index=False)
    add_predictions(results, path, name="other", title="another <tool>")
    page = report.run(ReportConfig((results,), tmp_path / "report.html", resamples=50)).path
    content = page.read_text(encoding="utf-8")
    assert "another &lt;tool&gt;" in content
    assert f"python -m pipeline add {results.name} {path.name}" in content


def test_the_locked_test_is_not_opened_for_it(results):
    add_predictions(results, table(results), name="other")
    with pytest.raises(UsageError, match="another tool made other"):
        evaluate.run(EvaluateConfig(results, "other"))
    assert not openings.read(results)


def test_its_metric_does_not_keep_the_best_from_being_chosen(results):
    add_predictions(results, table(results), name="other")
    for name in candidates.METHODS:
        candidates.change(results, f"vgg16.pool.{name}", metric="macro_f1")
    candidates.change(results, LOGISTIC, title="first")
    chosen = evaluate.run(EvaluateConfig(results, "recommended", resamples=50))
    assert chosen.facts["candidate"] != "other"


def test_the_same_again_is_kept_and_others_need_replace(results):
    frame = table(results)
    first = add_predictions(results, frame, name="other").records["other"]
    again = add_predictions(results, frame.iloc[::-1], name="other").records["other"]
    assert again == first
    with pytest.raises(UsageError, match="with other predictions"):
        add_predictions(results, labels(results, "label"), name="other")
    new = add_predictions(results, labels(results, "label"), name="other", replace=True)
    assert new.records["other"].reason == ONLY_LABELS
    with pytest.raises(UsageError, match="trained here"):
        add_predictions(results, frame, name=LOGISTIC, replace=True)
    assert not list(results.glob(".add-*"))


def drop(frame, splits):
    return frame.iloc[3:]


def double(frame, splits):
    return pd.concat([frame, frame.iloc[:2]])


def renamed(frame, splits):
    return frame.assign(id=["what.png", *frame["id"][1:]])


def locked(frame, splits):
    return frame.assign(id=[splits.ids[splits.test[0]], *frame["id"][1:]])


def with_gap(frame, splits):
    return frame.assign(**{"p:bee": [np.nan, *frame["p:bee"][1:]]})


def scaled(frame, splits):
    return frame.assign(**{"p:bee": frame["p:bee"] / 2})


def negative(frame, splits):
    return frame.assign(**{"p:ant": -1.0, "p:bee": 1.0, "p:cat": 1.0})


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (drop, r"lacks 3 of the 240 images that validate \(the first is"),
        (double, r"has doubled ids \(2, the first is"),
        (renamed, r"has ids that the splits do not know \(1, the first is what.png"),
        (locked, r"has images of the locked test \(1, the first is"),
        (with_gap, r"probabilities that are missing or not finite \(1 images, the first is"),
        (scaled, r"probabilities that do not sum to 1 \(\d+ images, the first is"),
        (negative, r"probabilities that are below 0 or above 1 \(240 images, the first is"),
        (lambda frame, _: frame.drop(columns="id"), "has no column 'id'"),
        (
            lambda frame, _: frame.drop(columns="p:cat"),
            r"of 1 of 3 classes \(the first is column 'p:cat'",
        ),
        (
            lambda frame, _: frame.assign(**{"p:dog": 0}),
            r"columns of unknown classes \(1, the first is 'p:dog'",
        ),
        (lambda frame, _: frame[["id", "note"]], "has no predictions: its columns are id, note"),
        (
            lambda frame, _: frame[["id"]].assign(label="dog"),
            r"unknown classes \(240 images, the first is .* of 'dog'",
        ),
    ],
)
def test_tables_that_do_not_fit_are_told_in_one_line(results, change, message):
    frame = change(table(results), Splits.read(results))
    with pytest.raises(DataError, match=message) as error:
        add_predictions(results, frame, name="other")
    assert "\n" not in str(error.value)
    assert not (results / "other").exists()


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"name": "a/b"}, "expected a name that a folder can have"),
        ({"name": ""}, "name='': expected a text"),
        ({"name": "best"}, "chooses by"),
        ({"name": "x", "seconds": -1}, "expected a number of at least 0"),
        ({"name": "x", "seconds": {"train": 1}}, "no seconds is called 'train'"),
        ({"name": "x", "replace": "yes"}, "expected True or False"),
    ],
)
def test_names_and_times_are_checked_first(results, settings, message):
    with pytest.raises(UsageError, match=message):
        add_predictions(results, table(results), **settings)


def test_files_that_are_no_tables_are_told(results, tmp_path):
    with pytest.raises(UsageError, match="no file"):
        add_predictions(results, tmp_path / "none.csv", name="x")
    (tmp_path / "a.txt").write_text("id")
    with pytest.raises(UsageError, match=r"expected a \.csv or \.parquet"):
        add_predictions(results, tmp_path / "a.txt", name="x")
    for name in ("a.parquet", "a.csv"):
        (tmp_path / name).write_bytes(b"" if name == "a.csv" else b"PAR1 no more")
        with pytest.raises(DataError, match="cannot be read"):
            add_predictions(results, str(tmp_path / name), name="x")
    with pytest.raises(UsageError, match="no results folder"):
        add_predictions(tmp_path / "none", tmp_path / "a.csv", name="x")


def test_classes_and_ids_that_look_like_numbers_or_gaps_are_text(tmp_path):
    ids = tuple(f"{number:03d}" for number in range(8))
    splits = Splits(
        ids, np.array([0, 1] * 4, np.int32), ("NA", "1"), np.zeros((1, 8), np.int16), 1, "all", 0
    )
    splits.write(tmp_path)
    path = tmp_path / "mine.csv"
    path.write_text("id,predicted\n" + "".join(f"{n},{'NA' if n < '004' else '1'}\n" for n in ids))
    add_predictions(tmp_path, path, name="mine")
    stored = Predictions.read(tmp_path / "mine" / VALIDATION, ("NA", "1"))
    assert stored.probabilities.argmax(axis=1).tolist() == [0] * 4 + [1] * 4
    json.loads((tmp_path / "mine" / "record.json").read_text())


def test_what_is_no_table_is_refused(results):
    with pytest.raises(UsageError, match="expected a path, or a pandas frame"):
        add_predictions(results, [1, 2], name="x")


def test_the_command_prints_the_folder_or_one_line_of_what_is_wrong(results, tmp_path, capsys):
    path = tmp_path / "mine.csv"
    table(results).to_csv(path, index=False)
    command = ["add", str(results), str(path), "--name", "mine", "--seconds", "2", "--quiet"]
    assert main(command) == 0
    assert capsys.readouterr().out == f"{results}\n"
    assert ResultsFolder(results).records["mine"].seconds == {"fit": 2.0}
    labels(results, "label").to_csv(path, index=False)
    assert main(command) == 2
    assert "--replace to put these in its place" in capsys.readouterr().err
    assert main([*command, "--replace"]) == 0
    path.write_text("id,label\nx.png,ant\n")
    assert main([*command, "--replace"]) == 1
    assert capsys.readouterr().err.count("\n") == 1
