"""The classify stage from feature files to records: fair, resumable, in its time."""

import dataclasses
import signal
import subprocess
import sys
import time

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression

from features.errors import DataError, MissingPackageError, UsageError
from pipeline.classifiers import find, storage
from pipeline.commands.main import main
from pipeline.config import ClassifyConfig
from pipeline.data import duplicates
from pipeline.data.splits import Splits
from pipeline.results.predictions import Predictions
from pipeline.results.ranking import mean_score
from pipeline.results.records import candidates
from pipeline.results.trials import TRIALS, TriedSettings
from pipeline.search import candidates as search_candidates
from pipeline.search import runner
from pipeline.search.workspace import WORKSPACE
from pipeline.stages import classify
from pipeline.statistics import scoring
from tests.pipeline.classifying import config, make
from tests.pipeline.featurefiles import LAYER, clusters, with_test_part, write_features


@pytest.fixture
def file(tmp_path):
    return make(tmp_path / "f.h5")


def test_each_candidate_leaves_a_record_its_predictions_and_its_model(file, tmp_path):
    out = classify.run(config(file, tmp_path, "ridge", "logistic")).path
    records, splits = candidates(out), Splits.read(out)
    assert set(records) == {f"vgg16.{LAYER}.ridge", f"vgg16.{LAYER}.logistic"}
    x, labels = clusters(160, spread=2.0)
    for name, record in records.items():
        predictions = Predictions.read(out / name / "validation.parquet", record.class_names)
        assert predictions.ids == tuple(splits.ids[row] for row in splits.validated)
        assert mean_score("accuracy", predictions.labels, predictions.repeats) > 0.7
        tried = TriedSettings.read(out / name, record.trials_file)
        assert tried.predicted.shape == (len(record.trials), len(splits.validated))
        assert tried.influence.shape == (0, len(splits.validated))
        model = storage.load(out / name, record.model)
        assert (model.predict(x[splits.test]) == labels[splits.test]).mean() > 0.7
        assert record.rows == len(splits.rest) == 120
        assert record.setting in [trial.setting for trial in record.trials]
        assert record.inputs["file"] == str(file.resolve())
        assert record.peak_memory > 2**20
        assert record.reason == ""
        assert set(record.seconds) == {"search", "fit", "predict_1000"}
        assert {"offshelf", "python", "scikit-learn"} <= set(record.versions)
    assert not (out / WORKSPACE).exists()


def test_two_runs_give_equal_predictions(file, tmp_path):
    names = ("extra-trees", "logistic", "knn-cosine")
    runs = [
        classify.run(dataclasses.replace(config(file, tmp_path, *names), out=tmp_path / out)).path
        for out in ("first", "second")
    ]
    for name in candidates(runs[0]):
        first, second = ((out / name / "validation.parquet").read_bytes() for out in runs)
        assert first == second


def test_what_is_finished_is_kept(file, tmp_path, monkeypatch):
    out = classify.run(config(file, tmp_path, "ridge")).path
    before = candidates(out)
    monkeypatch.setattr(
        runner.CandidateRunner,
        "_follow",
        refusing(runner.CandidateRunner._follow, "nearest-centroid"),
    )
    after = classify.run(config(file, tmp_path)).records
    assert after[f"vgg16.{LAYER}.ridge"] == before[f"vgg16.{LAYER}.ridge"]
    assert len(after) == 2
    classify.run(config(file, tmp_path))  # nothing is left to do


def refusing(follow, only):
    def checked(self, plan, candidate, bar):
        assert candidate.classifier.name == only
        return follow(self, plan, candidate, bar)

    return checked


def test_restart_begins_anew_but_remembers_what_was_opened(file, tmp_path):
    out = classify.run(config(file, tmp_path)).path
    (out / "openings.json").write_text("[]")
    classify.run(config(file, tmp_path, "ridge", restart=True, seed=1))
    assert set(candidates(out)) == {f"vgg16.{LAYER}.ridge"}
    assert (out / "openings.json").exists()


def test_other_splits_are_refused(file, tmp_path):
    classify.run(config(file, tmp_path))
    for change in ({"seed": 1}, {"folds": 3}):
        with pytest.raises(UsageError, match="--restart to throw its candidates away"):
            classify.run(config(file, tmp_path, **change))


def test_features_by_another_recipe_are_refused(file, tmp_path):
    classify.run(config(file, tmp_path))
    x, labels = clusters(160, spread=2.0)
    other = write_features(tmp_path / "g.h5", x + 1, labels, parts=with_test_part(160),
                           pooling="max")  # fmt: skip
    with pytest.raises(UsageError, match="from another feature file"):
        classify.run(config(other, tmp_path))


def test_several_files_of_the_same_images_share_their_splits(file, tmp_path):
    other = make(tmp_path / "g.h5", backbone="resnet50")
    both = dataclasses.replace(config(file, tmp_path), features=(file, other))
    out = classify.run(both).path
    assert {record.inputs["backbone"] for record in candidates(out).values()} == {
        "vgg16", "resnet50"}  # fmt: skip
    assert len({record.splits for record in candidates(out).values()}) == 1
    twice = dataclasses.replace(both, features=(file, make(tmp_path / "h.h5")))
    with pytest.raises(UsageError, match="hold vgg16.a"):
        classify.run(twice)
    longer = dataclasses.replace(both, features=(file, make(tmp_path / "i.h5", 170)))
    with pytest.raises(UsageError, match="not the 160 of the first"):
        classify.run(longer)


def test_near_duplicates_in_other_splits_are_listed(tmp_path):
    x, labels = clusters(160)
    x[-1], labels[-1] = x[0], labels[0]
    file = write_features(tmp_path / "f.h5", x, labels, parts=with_test_part(160))
    out = classify.run(config(file, tmp_path)).path
    assert duplicates.near_duplicate_ids(out, "test") >= {"00159.png"}


def test_a_failing_search_for_duplicates_does_not_end_the_run(file, tmp_path, monkeypatch, caplog):
    def fails(*arguments):
        raise ValueError("array must not contain infs or NaNs")

    monkeypatch.setattr(duplicates, "find_duplicates", fails)
    out = classify.run(config(file, tmp_path, "dummy")).path
    assert len(candidates(out)) == 1
    assert "the search for them failed: ValueError: array must not contain" in caplog.text


def test_few_images_are_searched_with_the_neighbours_that_there_are(tmp_path):
    x, labels = clusters(24, classes=2)
    file = write_features(tmp_path / "f.h5", x, labels)
    (record,) = classify.run(config(file, tmp_path, "knn-cosine")).records.values()
    assert record.reason == ""
    assert {trial.setting["model__n_neighbors"] for trial in record.trials} >= {1, 3, 5, 10}


@pytest.mark.parametrize(
    ("change", "every", "weighted"),
    [({}, 2, False), ({"metric": "balanced_accuracy"}, 2, True), ({}, 5, True)],
)
def test_class_weights_are_searched_where_rare_classes_matter(tmp_path, change, every, weighted):
    x, labels = clusters(160, classes=2)
    labels[:] = np.arange(160) % every == 0
    file = write_features(tmp_path / "f.h5", x, labels)
    (record,) = classify.run(config(file, tmp_path, "ridge", **change)).records.values()
    weights = {trial.setting.get("model__class_weight") for trial in record.trials}
    assert weights == ({None, "balanced"} if weighted else {None})


def test_the_printed_score_is_that_of_the_comparison(file, tmp_path, caplog):
    caplog.set_level("INFO", "offshelf")
    out = classify.run(config(file, tmp_path, "ridge"))
    (record,) = out.records.values()
    predictions = Predictions.read(out.path / record.name / "validation.parquet",
                                   record.class_names)  # fmt: skip
    assert len(predictions.repeats) == 2
    (score,) = out.frame()["score"]
    assert score == pytest.approx(mean_score("accuracy", predictions.labels, predictions.repeats))
    assert f"ridge: accuracy {score:.4f} on validation" in caplog.text


@pytest.mark.parametrize("metric", ["accuracy", "roc_auc", "log_loss"])
def test_a_record_says_what_to_expect_of_the_best_of_its_settings(file, tmp_path, metric):
    out = classify.run(config(file, tmp_path, "ridge", metric=metric))
    (record,) = out.records.values()
    (score,) = out.frame()["score"]
    expected = record.expected
    assert expected["settings"] == len(record.trials) > 1
    assert expected["low"] < expected["value"] < expected["high"]
    assert expected["value"] == pytest.approx(score, abs=0.05)
    better = scoring.goodness(metric, np.array(expected["value"])) - scoring.goodness(metric, score)
    assert better <= 0.005
    tried = TriedSettings.read(out.path / record.name, record.trials_file)
    assert len(tried.influence) == (0 if metric == "accuracy" else len(record.trials))


def test_warnings_of_the_last_fit_are_kept_once(file, tmp_path, caplog):
    caplog.set_level("INFO", "offshelf")
    hasty = ("hasty", LogisticRegression(max_iter=1))
    (record,) = classify.run(config(file, tmp_path, hasty)).records.values()
    (warning,) = record.warnings
    assert warning.startswith("ConvergenceWarning: ")
    assert "(ConvergenceWarning; its record has the text)" in caplog.text


def test_a_changed_file_of_trials_is_refused(file, tmp_path):
    out = classify.run(config(file, tmp_path, "ridge"))
    (record,) = out.records.values()
    (out.path / record.name / TRIALS).write_bytes(b"PK")
    with pytest.raises(DataError, match="is missing or has changed"):
        TriedSettings.read(out.path / record.name, record.trials_file)
    assert TriedSettings.read(out.path / record.name, {}) is None


@pytest.mark.parametrize("folds", [None, 4])
def test_permuted_labels_leave_only_chance(tmp_path, folds):
    """More features than images: had scaling or tuning seen the truth, it would show."""
    x, labels = clusters(400, 300, classes=2)
    labels = np.random.default_rng(0).permutation(labels)
    file = write_features(tmp_path / "f.h5", x, labels, parts=with_test_part(400))
    names = ("logistic", "linear-svm", "rbf-svm", "ridge", "lda", "knn-cosine", "nearest-centroid")
    out = classify.run(config(file, tmp_path, *names, folds=folds)).path
    splits = Splits.read(out)
    for name, record in candidates(out).items():
        predictions = Predictions.read(out / name / "validation.parquet", record.class_names)
        assert mean_score("accuracy", predictions.labels, predictions.repeats) < 0.65, name
        hits = storage.load(out / name, record.model).predict(x[splits.test]) == labels[splits.test]
        assert 0.3 < hits.mean() < 0.7, name


def test_a_missing_package_is_an_error(file, tmp_path, monkeypatch):
    run = runner.Worker.run

    def without_keras(self, function, job, *rest):
        if job.method == "dense-head":
            raise MissingPackageError("the dense head needs keras; pip install keras tensorflow")
        return run(self, function, job, *rest)

    monkeypatch.setattr(runner.Worker, "run", without_keras)
    with pytest.raises(MissingPackageError, match="pip install"):
        classify.run(config(file, tmp_path, "dense-head", "ridge"))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"classifiers": ("ridgee",)}, "did you mean ridge"),
        ({"metric": "kappa"}, "kappa"),
        ({"folds": 1}, "at least 2"),
        ({"budget": 0.0}, "budget=0.0: expected a number above 0"),
        ({"layers": ("fc2",)}, "no layer in"),
        ({"features": ()}, "expected at least 1 path"),
        ({"group_by": "patient"}, "patient"),
    ],
)
def test_bad_arguments_are_errors(file, tmp_path, change, message):
    with pytest.raises(UsageError, match=message):
        classify.run(dataclasses.replace(config(file, tmp_path), **change))


def test_too_few_images_of_a_class_are_an_error(tmp_path):
    x, labels = clusters(60)
    labels[:] = labels % 2
    labels[7] = 2
    file = write_features(tmp_path / "f.h5", x, labels)
    with pytest.raises(DataError, match="class 'class 2' has 1 independent image,"):
        classify.run(config(file, tmp_path))


def test_the_command_says_what_it_did(file, tmp_path, capsys):
    arguments = ["classify", str(file), "--out", str(tmp_path / "results"), "--classifiers",
                 "ridge,dummy", "--no-tune", "--budget", "5m"]  # fmt: skip
    assert main(arguments) == 0
    printed = capsys.readouterr()
    assert printed.out.strip() == str(tmp_path / "results")
    assert "160 images of 3 classes" in printed.err
    assert f"vgg16.{LAYER}.ridge: accuracy" in printed.err
    with pytest.raises(SystemExit, match="2"):
        main([*arguments[:-1], "soon"])
    assert "expected a time such as 90s, 30m or 2h" in capsys.readouterr().err
    assert main(["classify", str(tmp_path / "none.h5"), "--out", str(tmp_path / "r")]) == 1
    assert "no such feature file" in capsys.readouterr().err


def test_ctrl_c_leaves_a_state_from_which_the_same_command_goes_on(tmp_path):
    file, out = make(tmp_path / "f.h5", 3000, spread=4.0), tmp_path / "results"
    command = [sys.executable, "-m", "pipeline", "classify", str(file), "--out", str(out),
               "--classifiers", "nearest-centroid,random-forest"]  # fmt: skip
    process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
    first = out / f"vgg16.{LAYER}.nearest-centroid" / "record.json"
    for _ in range(3000):
        if first.exists():
            break
        time.sleep(0.05)
    process.send_signal(signal.SIGINT)
    _, printed = process.communicate(timeout=60)
    assert process.returncode == 130
    assert "1 of 2 candidates are finished" in printed
    assert "the same command goes on" in printed
    before = first.read_bytes()
    assert subprocess.run([*command, "--quiet"], timeout=120).returncode == 0
    assert first.read_bytes() == before
    assert len(candidates(out)) == 2


def test_a_second_run_on_the_same_folder_is_refused(file, tmp_path):
    from features.disk.locks import locked

    with locked(tmp_path / "results"), pytest.raises(UsageError, match="another process"):
        classify.run(config(file, tmp_path))


def test_a_half_made_candidate_is_made_again(file, tmp_path):
    out = classify.run(config(file, tmp_path)).path
    name = f"vgg16.{LAYER}.ridge"
    record = candidates(out)[name]
    (out / name / "record.json").unlink()
    classify.run(config(file, tmp_path))
    assert candidates(out)[name].key == record.key


@pytest.mark.parametrize("change", ["space", "version"])
def test_another_space_or_library_is_fitted_again_and_said(
    file, tmp_path, monkeypatch, caplog, change
):
    caplog.set_level("INFO", "offshelf")
    (before,) = classify.run(config(file, tmp_path, "ridge")).records.values()
    if change == "space":
        other = dataclasses.replace(find("ridge"), space=({"model__alpha": 1.0},))
        monkeypatch.setattr(classify.classifiers, "choose", lambda choices: [other])
        expected = "1 candidate is fitted again, because of other settings to search"
    else:
        monkeypatch.setattr(search_candidates, "versions", lambda *packages: {"numpy": "9.0"})
        expected = f"fitted again, because of numpy 9.0, which was {np.__version__}"
    (after,) = classify.run(config(file, tmp_path, "ridge")).records.values()
    assert after.key != before.key
    assert expected in caplog.text


def test_a_record_of_another_setting_is_replaced(file, tmp_path):
    out = classify.run(config(file, tmp_path, tune=False)).path
    assert {len(record.trials) for record in candidates(out).values()} == {1}
    again = classify.run(config(file, tmp_path)).records
    assert len(again[f"vgg16.{LAYER}.ridge"].trials) > 1


def test_a_column_that_may_name_groups_is_told_once(tmp_path, caplog):
    x, labels = clusters(60)
    patients = {"patient": [f"p{number // 6}" for number in range(60)]}
    files = [
        write_features(tmp_path / f"{layer}.h5", x, labels, layer=layer, extra=patients)
        for layer in ("a", "b")
    ]
    caplog.set_level("INFO", logger="offshelf")
    classify.run(ClassifyConfig(files, tmp_path / "results", ("dummy",), folds=2, progress=False))
    told = [text for text in caplog.messages if "--group-by patient" in text]
    assert told == [
        "column patient has 10 values for 60 images: if equal ones belong together, such as those "
        "of one patient, --group-by patient keeps them in one split"
    ]
