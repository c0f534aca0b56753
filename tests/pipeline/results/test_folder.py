"""A results folder as an object: paths, frames and what a notebook shows."""

import os
from pathlib import Path

import numpy as np
import pytest

from features.errors import UsageError
from pipeline.data.splits import Splits
from pipeline.results.folder import ResultsFolder
from pipeline.results.ranking import rank_candidates
from tests.pipeline import candidates


@pytest.fixture
def results(tmp_path):
    return candidates.results(tmp_path)


def test_it_goes_where_a_path_goes(results):
    folder = ResultsFolder(str(results))
    assert folder == ResultsFolder(results) == ResultsFolder(folder)
    assert os.fspath(folder) == str(results)
    assert Path(folder) == folder.path == results
    assert list(folder.records) == sorted(
        path.parent.name for path in results.glob("*/record.json")
    )


def test_its_frame_has_a_row_for_each_candidate_the_best_first(results):
    frame = ResultsFolder(results).frame()
    ranking = rank_candidates([results], "accuracy")
    assert frame["candidate"].tolist() == [entry.label for entry in ranking.entries]
    assert np.allclose(frame["score"], ranking.scores)
    assert set(frame["fit_seconds"]) == {1.0}
    assert set(frame["metric"]) == {"accuracy"}


def test_splits_as_a_frame_keep_the_locked_labels_to_themselves(results):
    frame, splits = ResultsFolder(results).splits(), Splits.read(results)
    assert frame["id"].tolist() == list(splits.ids)
    locked = frame["split"] == "test"
    assert np.flatnonzero(locked).tolist() == splits.test.tolist()
    assert frame.loc[locked, "label"].isna().all()
    names = np.array(splits.class_names)
    assert (frame.loc[~locked, "label"] == names[splits.labels[splits.rest]]).all()
    assert (frame["fold_0"] == splits.folds[0]).all()


def test_a_notebook_shows_the_candidates_escaped(results):
    candidates.change(results, "vgg16.pool.dummy", title="<b>bold</b>")
    folder = ResultsFolder(results)
    assert repr(folder) == f"ResultsFolder({str(results)!r}): 3 candidates"
    html = folder._repr_html_()
    assert "&lt;b&gt;bold" in html
    assert "<b>" not in html


def test_a_folder_without_results_says_what_to_run(tmp_path):
    folder = ResultsFolder(tmp_path)
    assert repr(folder).endswith("0 candidates")
    with pytest.raises(UsageError, match="run `classify`"):
        folder.frame()
