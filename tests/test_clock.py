"""A clock that is set back while commands run, and files from the future, change nothing."""

import itertools
import os
import time

import pytest

from features.storage.store import FeatureFile
from pipeline.commands.main import main
from tests.features.faults import stub


@pytest.fixture
def set_back(monkeypatch):
    """Let the clock go back by an hour whenever somebody looks at it, bars of progress too."""
    now, looks = time.time(), itertools.count()

    def earlier() -> float:
        return now - 3600 * next(looks)

    monkeypatch.setattr(time, "time", earlier)
    monkeypatch.setattr("tqdm.std.time", earlier)


def test_an_extraction_and_what_follows_end_as_ever(set_back, photos, tmp_path, capsys):
    future = 2**32  # the year 2106
    for path in photos.rglob("*"):
        os.utime(path, (future, future))
    file, results = str(tmp_path / "f.h5"), str(tmp_path / "results")
    suite = ["--classifiers", "logistic,nearest-centroid", "--no-tune", "--budget", "60s"]
    with stub.stubbed():
        for _ in range(2):  # the second run keeps all of it
            assert main(["extract", str(photos), "--out", file, *stub.ARGUMENTS]) == 0
    os.utime(file, (future, future))
    with FeatureFile(tmp_path / "f.h5") as stored:
        assert stored.provenance["seconds"] >= 0
        assert (len(stored), stored.problems()) == (20, [])
    for words in (["classify", file, "--out", results, *suite], ["compare", results]):
        assert main(words) == 0, capsys.readouterr().err
    assert len(list((tmp_path / "results").glob("*/record.json"))) == 2
