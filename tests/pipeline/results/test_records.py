"""Records and predictions: what is written is read, damage is told in one line."""

import dataclasses

import numpy as np
import pytest

from features.errors import DataError, UsageError
from pipeline.results.predictions import Predictions
from pipeline.results.records import (
    RECORD,
    Record,
    Trial,
    candidates,
    place_candidate,
    read_record,
    write_record,
)
from tests.features.faults.disks import Watched

NAMES = ("ant", "bee: the bee")


def record(**changes):
    plain = Record(
        name="a", kind="classifier", title="logistic regression",
        method="logistic", requested="logistic", reason="", inputs={"content": "ef"},
        splits="ab", class_names=NAMES, setting={"model__C": 1.0},
        trials=(Trial({"model__C": 1.0}, 0.5, 2.0, 80),), metric="accuracy", seed=0, rows=80,
        budget=None, key="cd",
        seconds={"search": 2.0, "fit": 1.0, "predict_1000": 0.5}, peak_memory=1,
        model={"file": "model.skops", "bytes": 5, "sha256": "ab"}, temperature=1.0, versions={"numpy": "2"}, created="now",
    )  # fmt: skip
    return dataclasses.replace(plain, **changes)


def test_a_record_is_read_as_it_was_written(tmp_path):
    (tmp_path / "a").mkdir()
    write_record(tmp_path / "a", record())
    assert read_record(tmp_path / "a") == record()
    assert record().cost == 0.5
    assert record(extraction={"seconds_1000": 4.0}).cost == 4.5
    assert record(seconds={"fit": 1.0}).cost == float("inf")


def test_candidates_come_by_name(tmp_path):
    for name in ("b", "a"):
        (tmp_path / name).mkdir()
        write_record(tmp_path / name, record(name=name))
    (tmp_path / "unfinished").mkdir()
    assert list(candidates(tmp_path)) == ["a", "b"]


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"schema": 99}', '{"schema": 1, "trials": []}'])
def test_what_is_no_record_is_told(tmp_path, text):
    (tmp_path / RECORD).write_text(text)
    with pytest.raises(DataError, match=r"record\.json: "):
        read_record(tmp_path)


def test_folders_without_candidates_are_told(tmp_path):
    with pytest.raises(UsageError, match="no finished candidate"):
        candidates(tmp_path)
    with pytest.raises(UsageError, match="there is no folder"):
        candidates(tmp_path / "none")


def test_predictions_are_read_as_they_were_written(tmp_path):
    values = np.array([[0.25, 0.75], [1, 0]], np.float32)
    written = Predictions(("x/1.png", "2.png"), np.array([1, 0], np.int32), values)
    written.write(tmp_path / "p.parquet", NAMES)
    read = Predictions.read(tmp_path / "p.parquet", NAMES)
    assert read.ids == written.ids
    assert (read.labels == written.labels).all()
    assert (read.probabilities == values).all()
    assert read.probabilities.dtype == np.float32
    with pytest.raises(DataError, match="cannot be read: "):
        Predictions.read(tmp_path / "p.parquet", ("ant", "cow"))
    with pytest.raises(DataError, match="cannot be read: "):
        Predictions.read(tmp_path / "none.parquet", NAMES)


def test_repeats_of_cross_validation_are_rows_of_one_table(tmp_path):
    import pyarrow.parquet as pq

    values = np.array([[[0.25, 0.75], [1, 0]], [[0.5, 0.5], [0, 1]]], np.float32)
    Predictions(("a", "b"), np.array([1, 0], np.int32), values).write(tmp_path / "p", NAMES)
    table = pq.read_table(tmp_path / "p")
    assert table["repeat"].to_pylist() == [0, 0, 1, 1]
    assert str(table.schema.field("repeat").type) == "int8"
    pq.write_table(table.take([3, 0, 2, 1]), tmp_path / "p")  # any order of rows
    read = Predictions.read(tmp_path / "p", NAMES)
    assert read.ids == ("a", "b")
    assert read.labels.tolist() == [1, 0]
    assert (read.probabilities == values).all()
    pq.write_table(table.take([0, 1, 2, 2]), tmp_path / "p")
    with pytest.raises(DataError, match="do not have the same images"):
        Predictions.read(tmp_path / "p", NAMES)


class Killed(BaseException):
    """As if the process ended here."""


class Ending(Watched):
    def __init__(self, at):
        self.left = at

    def before(self, name, *arguments):
        if not self.left:
            raise Killed
        self.left -= 1


@pytest.mark.parametrize("at", range(5))
@pytest.mark.parametrize("name", ["a", "a.40-images"])
def test_a_kill_while_a_candidate_is_replaced_leaves_the_old_or_the_new_one(
    tmp_path, monkeypatch, at, name
):
    """Also where the candidate with the same key was called something else before."""
    results, drafts = tmp_path / "results", tmp_path / "drafts"
    (results / "a").mkdir(parents=True)
    write_record(results / "a", record(name="a", created="old"))
    (drafts / name).mkdir(parents=True)
    write_record(drafts / name, record(name=name, created="new"))
    with monkeypatch.context() as patch:
        patch.setattr("features.disk.durable.disk", Ending(at))
        with pytest.raises(Killed):
            place_candidate(drafts / name, results, replaces="cd")
    versions = {name: kept.created for name, kept in candidates(results).items()}
    assert "old" in versions.values() if at < 4 else versions[name] == "new"
    assert [path for path in results.iterdir() if path.name.startswith(".")] == []


def test_a_replaced_candidate_is_gone(tmp_path):
    (tmp_path / "results" / "a").mkdir(parents=True)
    write_record(tmp_path / "results" / "a", record(name="a"))
    (tmp_path / "b").mkdir()
    write_record(tmp_path / "b", record(name="b"))
    place_candidate(tmp_path / "b", tmp_path / "results", replaces="cd")
    assert list(candidates(tmp_path / "results")) == ["b"]
    assert [path.name for path in (tmp_path / "results").iterdir()] == ["b"]
