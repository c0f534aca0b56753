"""Candidates learn the same from a file in shards as from a single one, and each reads the other."""

import shutil

import numpy as np
import pytest

from features.extraction.consolidating import consolidate
from pipeline.config import AdviseConfig, ClassifyConfig, EvaluateConfig, MapConfig
from pipeline.data.splits import Splits
from pipeline.predictors import locked
from pipeline.results.predictions import VALIDATION, Predictions
from pipeline.results.records import candidates
from pipeline.search.memory import Memory
from pipeline.stages import advise, classify, inspect
from pipeline.stages import map as map_stage
from tests.pipeline.featurefiles import clusters, with_test_part, write_features

NAMES = ("class 0", "class 1", "class 2")
CLASSIFIERS = ("logistic", "nearest-centroid")


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    folder = tmp_path_factory.mktemp("files")
    x, labels = clusters(240, spread=2.5)
    single = write_features(folder / "single.h5", x, labels, parts=with_test_part(240))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("features.extraction.shards.SHARD_IMAGES", 32)
        many = consolidate(single, folder / "many.h5", progress=False)
    return single, many


@pytest.fixture(scope="module")
def results(files, tmp_path_factory):
    """Results of both files, whose rows do not fit into memory."""
    folder = tmp_path_factory.mktemp("results")
    common = {"classifiers": CLASSIFIERS, "tune": False, "folds": 2, "progress": False}
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(classify, "measure", lambda *arguments: Memory(2**30, 32 * 12 * 60, True))
        for file in files:
            classify.run(ClassifyConfig((file,), folder / file.stem, **common))
    return folder / "single", folder / "many"


def test_predictions_are_equal(results):
    one, many = map(candidates, results)
    assert one.keys() == many.keys() and len(one) == 2
    for name in one:
        assert one[name].memory and many[name].memory, "they were read in blocks"
        assert one[name].inputs["content"] == many[name].inputs["content"]
        here, there = (Predictions.read(out / name / VALIDATION, NAMES) for out in results)
        assert here.ids == there.ids
        np.testing.assert_array_equal(here.probabilities, there.probabilities)


def test_a_candidate_goes_on_with_the_file_in_the_other_layout(files, results):
    out, many = results[0], files[1]
    name, record = next(iter(candidates(out).items()))
    splits = Splits.read(out)
    likely = [
        locked.predict(EvaluateConfig(out, candidate=name, features=file), splits, record)
        for file in (None, many)
    ]
    np.testing.assert_array_equal(likely[0].probabilities, likely[1].probabilities)


def test_other_stages_take_it_too(files, tmp_path):
    many = files[1]
    maps = [
        map_stage.run(MapConfig(file, tmp_path / f"{file.stem}.html", progress=False))
        for file in files
    ]
    np.testing.assert_array_equal(maps[0].coordinates, maps[1].coordinates)
    assert advise.run(AdviseConfig(many, tmp_path / "advice", progress=False))
    inspections = [inspect.run(file) for file in files]
    assert inspections[1].problems == () and inspections[1].facts["shards"] == 8
    assert inspections[0].classes == inspections[1].classes
    for path in many.with_name("many.h5.shards").iterdir():
        if path.name.startswith("0000000064"):
            shutil.move(path, tmp_path)
    assert inspect.run(many).problems[0].startswith("1 of 8 shards are missing")
