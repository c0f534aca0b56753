"""An analyst's own estimators from `classify` to `evaluate`, beside the suite's classifiers."""

import dataclasses
import hashlib
import json
import os
import shutil

import joblib
import numpy as np
import pytest
from sklearn.naive_bayes import GaussianNB
from sklearn.neighbors import KNeighborsClassifier
from sklearn.svm import SVC

from features.errors import DataError, UsageError
from pipeline.classifiers import storage
from pipeline.commands.main import main
from pipeline.config import ClassifyConfig, CompareConfig, EvaluateConfig, ReportConfig
from pipeline.data.splits import Splits
from pipeline.reports import comparison
from pipeline.results.records import RECORD, UNTRUSTED, read_record
from pipeline.search import fitting
from pipeline.search.runner import CandidateRunner, Worker
from pipeline.search.worker import JobFailedError
from pipeline.stages import classify, compare, evaluate, report
from tests.pipeline.featurefiles import LAYER, clusters, with_test_part, write_features

SVM = ("my-svm", SVC(), {"C": [0.1, 10.0], "gamma": ["scale"]})
NAME = f"vgg16.{LAYER}.my-svm"
COUNT = 160


@pytest.fixture(scope="module")
def file(tmp_path_factory):
    x, labels = clusters(COUNT, spread=2.0)
    path = tmp_path_factory.mktemp("features") / "f.h5"
    return write_features(path, x, labels, parts=with_test_part(COUNT))


def config(file, out, *classifiers, **changes):
    return ClassifyConfig(file, out, classifiers or (SVM,), progress=False, **changes)


@pytest.fixture(scope="module")
def fitted(file, tmp_path_factory):
    """A results folder that no test changes."""
    out = tmp_path_factory.mktemp("fitted") / "results"
    classify.run(config(file, out, "ridge", SVM, ("bayes", GaussianNB())))
    return out


@pytest.fixture
def results(fitted, tmp_path):
    return shutil.copytree(fitted, tmp_path / "results")


def test_it_is_searched_and_recorded_like_the_others(results):
    record, splits = read_record(results / NAME), Splits.read(results)
    assert (record.method, record.requested, record.kind) == ("my-svm", "my-svm", "classifier")
    settings = [trial.setting for trial in record.trials]
    assert settings == [{"model__C": c, "model__gamma": "scale"} for c in (0.1, 10.0)]
    assert record.setting == max(record.trials, key=lambda trial: trial.score).setting
    assert record.rows == len(splits.rest)
    x, _ = clusters(COUNT, spread=2.0)
    hits = [
        GaussianNB().fit(x[train], splits.labels[train]).predict(x[rows]) == splits.labels[rows]
        for train, rows in splits.rounds(1)
    ]
    (trial,) = read_record(results / f"vgg16.{LAYER}.bayes").trials
    assert trial.score == pytest.approx(np.concatenate(hits).mean())


def test_its_model_is_marked_and_lies_apart(results):
    facts = read_record(results / NAME).model
    assert facts["trusted"] is False
    assert facts["file"] == f"{UNTRUSTED}/{NAME}/model.joblib"
    content = (results / facts["file"]).read_bytes()
    assert facts["sha256"] == hashlib.sha256(content).hexdigest()
    assert sorted(path.name for path in (results / NAME).iterdir()) == [
        "record.json", "trials.npz", "validation.parquet"]  # fmt: skip
    assert "trusted" not in read_record(results / f"vgg16.{LAYER}.ridge").model


def test_comparison_ranks_it_with_the_others(results):
    text = comparison.text(compare.run(CompareConfig(results)))
    assert "my-svm" in text and "bayes" in text and "ridge" in text
    table = (results / "comparison.csv").read_text()
    assert NAME in table


def test_the_report_has_it_and_names_no_command_that_would_make_it(results, tmp_path):
    evaluate.run(EvaluateConfig(results, NAME, trust=True))
    page = tmp_path / "report.html"
    report.run(ReportConfig(results, page))
    text = page.read_text()
    assert "my-svm" in text and "bayes" in text
    assert "--classifiers ridge" in text
    assert f"--candidate {NAME} --trust" in text


def test_what_is_finished_is_kept_unless_something_has_changed(file, results, monkeypatch):
    fits = []
    follow = CandidateRunner._follow

    def counted(self, plan, candidate, bar):
        fits.append(candidate.classifier.name)
        return follow(self, plan, candidate, bar)

    monkeypatch.setattr(CandidateRunner, "_follow", counted)
    before = read_record(results / NAME)
    classify.run(config(file, results, "ridge", ("my-svm", SVC(), SVM[2])))
    assert fits == []
    for changed in [
        ("my-svm", SVC(shrinking=False), SVM[2]),
        ("my-svm", SVC(shrinking=False), {"C": [1.0]}),
        ("my-svm", KNeighborsClassifier()),
    ]:
        classify.run(config(file, results, changed))
    assert fits == ["my-svm"] * 3
    after = read_record(results / NAME)
    assert after.model["sha256"] != before.model["sha256"]
    assert isinstance(storage.load(results / NAME, after.model, True)[-1], KNeighborsClassifier)


def test_restart_removes_its_model_too(file, results):
    classify.run(config(file, results, "ridge", restart=True))
    assert not (results / UNTRUSTED / NAME).exists()


def test_one_that_dies_learns_from_fewer_images(tmp_path, monkeypatch):
    x, labels = clusters(3200, spread=2.0)
    file = write_features(tmp_path / "f.h5", x, labels, parts=with_test_part(3200))
    run = Worker.run

    def dying(self, function, job, *rest):
        if function is fitting.fit and job.share == 1:
            raise JobFailedError("its process was killed by signal 9; was memory short?")
        return run(self, function, job, *rest)

    monkeypatch.setattr(Worker, "run", dying)
    classify.run(config(file, tmp_path / "out"))
    record = read_record(tmp_path / "out" / f"{NAME}.1200-images")
    assert (tmp_path / "out" / record.model["file"]).is_file()


def test_a_setting_that_json_cannot_hold_is_recorded_as_text(file, tmp_path):
    from sklearn.ensemble import BaggingClassifier

    bagging = BaggingClassifier(GaussianNB(), n_estimators=2)
    space = [{"estimator": GaussianNB()}, {"estimator": None}]
    out = tmp_path / "out"
    classify.run(config(file, out, ("bagged", bagging, space)))
    record = read_record(out / f"vgg16.{LAYER}.bagged")
    assert [trial.setting["model__estimator"] for trial in record.trials] == ["GaussianNB()", None]
    assert record.setting in [trial.setting for trial in record.trials]


def test_an_estimator_that_fails_is_left_out_and_the_others_are_made(file, tmp_path, caplog):
    classify.run(config(file, tmp_path / "out", ("broken", SVC(C=-1.0)), "ridge"))
    assert "broken: InvalidParameterError" in caplog.text
    assert [path.parent.name for path in (tmp_path / "out").glob(f"*/{RECORD}")] == [
        f"vgg16.{LAYER}.ridge"]  # fmt: skip


def test_evaluation_needs_trust(file, results, capsys):
    with pytest.raises(UsageError, match=r"runs whatever code .* by --trust \(in Python trust"):
        evaluate.run(EvaluateConfig(results, NAME))
    assert not (results / "openings.json").exists()
    evaluation = evaluate.run(EvaluateConfig(results, NAME, trust=True))
    assert evaluation.facts["metrics"]["accuracy"]["value"] > 0.5
    arguments = ["evaluate", str(results), "--candidate", f"vgg16.{LAYER}.bayes"]
    assert main(arguments) == 2
    assert "--trust" in capsys.readouterr().err
    assert main([*arguments, "--trust"]) == 0


def test_its_predictions_are_those_of_the_estimator_itself(results):
    splits, x = Splits.read(results), clusters(COUNT, spread=2.0)[0]
    record = read_record(results / NAME)
    model = storage.load(results / NAME, record.model, trust=True)
    setting = {name.removeprefix("model__"): value for name, value in record.setting.items()}
    alone = SVC(random_state=0, **setting).fit(x[splits.rest], splits.labels[splits.rest])
    assert np.array_equal(model.predict(x[splits.test]), alone.predict(x[splits.test]))


class Hostile:
    def __reduce__(self):
        return os.system, ("touch owned",)


def test_a_tampered_file_is_refused_before_it_is_loaded(results, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    record = read_record(results / NAME)
    path = results / record.model["file"]
    joblib.dump(Hostile(), path)
    with pytest.raises(DataError, match="has changed since it was written"):
        evaluate.run(EvaluateConfig(results, NAME, trust=True))
    facts = record.model | {"sha256": hashlib.sha256(path.read_bytes()).hexdigest()}
    with pytest.raises(UsageError, match="--trust"):
        storage.load(results / NAME, facts)
    with pytest.raises(UsageError, match="--trust"):
        storage.load(results / NAME, facts | {"trusted": True})
    assert not (tmp_path / "owned").exists()


@pytest.mark.parametrize(
    "elsewhere",
    ["model.joblib", f"{UNTRUSTED}/other/model.joblib", f"{UNTRUSTED}/../../x/model.joblib"],
)
def test_a_file_elsewhere_is_refused(results, elsewhere):
    facts = read_record(results / NAME).model | {"file": elsewhere}
    with pytest.raises(DataError, match="its record names a model"):
        storage.load(results / NAME, facts, trust=True)


def test_a_class_that_is_no_longer_there_is_told(results):
    path = results / UNTRUSTED / NAME / "model.joblib"
    path.write_bytes(b"\x80\x04cno_such_module\nThing\n.")
    facts = read_record(results / NAME).model
    facts |= {"sha256": hashlib.sha256(path.read_bytes()).hexdigest()}
    with pytest.raises(DataError, match="cannot be read as a model: No module named") as caught:
        storage.load(results / NAME, facts, trust=True)
    assert "\n" not in str(caught.value)


def test_a_record_of_an_own_estimator_is_plain_json(results):
    content = json.loads((results / NAME / RECORD).read_text())
    assert dataclasses.asdict(read_record(results / NAME))["model"] == content["model"]
