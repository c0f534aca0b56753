"""The classify stage where time is short, memory is short, or a fit fails."""

import pytest

from features.errors import DataError
from pipeline.classifiers import find
from pipeline.results.records import candidates
from pipeline.search import fitting, runner
from pipeline.search.worker import JobFailedError, OutOfTimeError
from pipeline.stages import classify
from tests.pipeline.classifying import config, make
from tests.pipeline.featurefiles import LAYER


@pytest.fixture
def file(tmp_path):
    return make(tmp_path / "f.h5")


@pytest.fixture
def fits_fail(monkeypatch):
    """Return a function that has some fits, by their jobs, end with an error."""

    def fail(which, error):
        run = runner.Worker.run

        def failing(self, function, job, *rest):
            if function is fitting.fit and which(job):
                raise error
            return run(self, function, job, *rest)

        monkeypatch.setattr(runner.Worker, "run", failing)

    return fail


def test_a_candidate_that_takes_too_long_gives_way_to_a_cheaper_one(
    file, tmp_path, fits_fail, monkeypatch
):
    fits_fail(lambda job: job.method == "rbf-svm", OutOfTimeError("it took longer than its 3 s"))
    (record,) = classify.run(config(file, tmp_path, "rbf-svm")).records.values()
    assert (record.method, record.requested) == ("rbf-svm-nystroem", "rbf-svm")
    assert "RBF SVM would take longer" in record.reason
    monkeypatch.undo()
    # With more time than before, it gets the chance that it did not have; the stand-in goes.
    again = classify.run(config(file, tmp_path, "rbf-svm", budget=None)).records
    assert [record.method for record in again.values()] == ["rbf-svm"]


def test_a_candidate_that_dies_learns_from_fewer_images(tmp_path, fits_fail):
    file = make(tmp_path / "f.h5", 3200)
    fits_fail(
        lambda job: job.share == 1,
        JobFailedError("its process was killed by signal 9; was memory short?"),
    )
    ((name, record),) = classify.run(config(file, tmp_path, "ridge")).records.items()
    assert record.rows == 1200
    assert name.endswith("ridge.1200-images")
    assert "1,200 of 2,400 images" in record.reason
    assert record.title.endswith("1,200 images")


def test_after_a_fit_that_took_too_long_so_few_images_are_taken_that_the_next_one_ends(
    tmp_path, fits_fail
):
    file = make(tmp_path / "f.h5", 3200)
    fits_fail(lambda job: job.share == 1, OutOfTimeError("it took longer than its 3600 s"))
    (record,) = classify.run(config(file, tmp_path, "ridge")).records.values()
    assert record.rows == 1000  # half of all would take as long again, with the search
    assert record.reason == "one setting on 1,000 of 2,400 images, as time was short"


def test_when_nothing_can_be_fitted_it_is_an_error(file, tmp_path, monkeypatch):
    def dead(self, *rest):
        raise JobFailedError("its process was killed")

    monkeypatch.setattr(runner.Worker, "run", dead)
    with pytest.raises(DataError, match="no candidate could be finished"):
        classify.run(config(file, tmp_path))


def test_when_time_is_over_nothing_is_begun_but_the_floor_and_the_centroid(
    file, tmp_path, monkeypatch, caplog
):
    started, run = [], runner.Worker.run

    def watched(self, function, job, *rest):
        started.append(job.method)
        return run(self, function, job, *rest)

    monkeypatch.setattr(runner.Worker, "run", watched)
    names = ("logistic", "nearest-centroid", "ridge", "dummy")
    out = classify.run(config(file, tmp_path, *names, budget=0.1))
    assert started == ["dummy", "nearest-centroid"]
    assert {record.method for record in out.records.values()} == set(started)
    assert list(out.left_out) == [f"vgg16.{LAYER}.ridge", f"vgg16.{LAYER}.logistic"]
    (line,) = [line for line in caplog.text.splitlines() if "left out" in line]
    assert f"vgg16.{LAYER}.ridge, vgg16.{LAYER}.logistic; a larger --budget" in line
    again = classify.run(config(file, tmp_path, *names, budget=None))
    assert started == ["dummy", "nearest-centroid", "ridge", "logistic"]
    assert (len(again.records), again.left_out) == (4, {})


def test_why_a_candidate_failed_is_kept(file, tmp_path, fits_fail):
    fits_fail(lambda job: job.method == "ridge", JobFailedError("ValueError: no luck"))
    out = classify.run(config(file, tmp_path))
    assert out.left_out == {f"vgg16.{LAYER}.ridge": "ValueError: no luck"}
    classify.run(config(file, tmp_path, "dummy", restart=True))
    assert out.left_out == {}


def test_costs_are_measured_before_a_long_run(file, tmp_path, monkeypatch):
    monkeypatch.setattr(runner, "MEASURED_FROM", 10)
    measured, run = [], runner.Worker.run

    def watched(self, function, job, *rest):
        if function is fitting.measure:
            measured.append(job.method)
            return fitting.Cost(1000, {"ridge": 100.0}.get(job.method, 0.0), 0.0)
        order.append(job.method)
        return run(self, function, job, *rest)

    order: list[str] = []
    monkeypatch.setattr(runner.Worker, "run", watched)
    classify.run(config(file, tmp_path, "ridge", "nearest-centroid"))
    assert measured == ["ridge", "nearest-centroid"]
    assert order == ["nearest-centroid", "ridge"]


def test_what_was_given_up_for_a_wrong_prediction_is_made_up_for(file, tmp_path, monkeypatch):
    monkeypatch.setattr(runner, "MEASURED_FROM", 10)
    jobs, run = [], runner.Worker.run

    def watched(self, function, job, *rest):
        if function is fitting.measure:
            return fitting.Cost(1000, 1000.0, 0.0)  # far too much
        jobs.append(job)
        return run(self, function, job, *rest)

    monkeypatch.setattr(runner.Worker, "run", watched)
    classify.run(config(file, tmp_path, "ridge", budget=300.0))
    (record,) = candidates(tmp_path / "results").values()
    assert [len(job.settings) for job in jobs] == [1, len(find("ridge").space)]
    assert record.reason == ""
    assert len(record.trials) > 1
