"""On images that validated and tested, predict gives the probabilities that were stored.

The kept model has learned from the images that validated; the models that did not know them are
fitted anew here from the record's setting, and put in its place.
"""

import os
import shutil

import numpy as np
import pytest

from features.config import ExtractConfig
from features.extraction import run as extraction
from pipeline.classifiers import SUITE, storage
from pipeline.classifiers.base import Task
from pipeline.config import (
    ClassifyConfig,
    EvaluateConfig,
    FinetuneConfig,
    PredictConfig,
    ScratchConfig,
)
from pipeline.data.layers import features_of
from pipeline.data.splits import Splits
from pipeline.results.predictions import VALIDATION, Predictions
from pipeline.results.records import read_record
from pipeline.stages import classify, evaluate, finetune, predict, scratch
from pipeline.statistics import calibration
from tests.pipeline.candidates import change
from tests.pipeline.networks.images import NAMES, colours, write_arrays
from tests.pipeline.stages.test_predict import by_class

TOLERANCE = 1e-6
TEST = "test.parquet"


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    """A source, its colour histograms, and every classifier of the suite, tested."""
    folder = tmp_path_factory.mktemp("home")
    source = write_arrays(folder / "c.npz", *colours(160))
    file = extraction.run(
        ExtractConfig(source, folder / "f.h5", "colour", image_size=(16, 16), progress=False)
    )
    classify.run(ClassifyConfig((file,), folder / "results", tune=False, progress=False))
    for classifier in SUITE:
        name = f"colour.histogram.{classifier.name}"
        evaluate.run(EvaluateConfig(folder / "results", name, resamples=10))
    return folder


@pytest.fixture(scope="module")
def networks(tmp_path_factory):
    """A source, and a fine-tuned network and one from scratch, which are those that validated."""
    folder = tmp_path_factory.mktemp("networks")
    source = write_arrays(folder / "c.npz", *colours(72, 32))
    common = {"epochs": 1, "batch_size": 16, "refit": False, "progress": False}
    scratch.run(ScratchConfig(source, folder / "results", architecture="lenet", **common))
    finetune.run(
        FinetuneConfig(
            source, folder / "results", backbone="mobilenet", weights="none", image_size=(32, 32),
            unfreeze=("2",), head_epochs=1, views=0, augment=("none",), head="none",
            engine="tensorflow", engine_precision="float32", **common,
        )
    )  # fmt: skip
    for name in ("scratch-lenet", "finetune-mobilenet"):
        evaluate.run(EvaluateConfig(folder / "results", name, resamples=10))
    return folder


def difference(folder, results, name, stored, out):
    """Return the largest difference between what predict gives and what was stored."""
    config = PredictConfig(results, folder / "c.npz", out, name, progress=False)
    frame = predict.run(config).frame().set_index("id")
    kept = Predictions.read(results / name / stored, NAMES)
    expected = calibration.apply(kept.probabilities, read_record(results / name).temperature)
    return np.abs(by_class(frame.loc[list(kept.ids)]) - expected).max()


@pytest.mark.parametrize("classifier", SUITE, ids=lambda each: each.name)
def test_a_classifier_gives_what_was_stored(home, tmp_path, classifier):
    name = f"colour.histogram.{classifier.name}"
    out = tmp_path / "p.parquet"
    assert difference(home, home / "results", name, TEST, out) <= TOLERANCE
    other = shutil.copytree(home / "results", home / f"{classifier.name}-copy")
    validating(classifier, other, name)
    assert difference(home, other, name, VALIDATION, tmp_path / "v.parquet") <= TOLERANCE


def validating(classifier, results, name):
    """Put the model that validated, fitted anew, in the place of the kept one."""
    splits, record = Splits.read(results), read_record(results / name)
    x, y = features_of(record.inputs, splits.ids), splits.labels
    ((train, _),) = splits.rounds()
    assert record.rows == len(splits.rest) > len(train)
    model = classifier.build(Task(len(train), x.shape[1], len(NAMES), record.seed))
    model.set_params(**record.setting).fit(x[train], y[train])
    os.remove(results / name / record.model["file"])
    change(results, name, model=storage.save(model, results / name))


@pytest.mark.parametrize("name", ["scratch-lenet", "finetune-mobilenet"])
@pytest.mark.parametrize("stored", [VALIDATION, TEST])
def test_a_network_gives_what_was_stored(networks, tmp_path, name, stored):
    out = tmp_path / "p.parquet"
    assert difference(networks, networks / "results", name, stored, out) <= TOLERANCE
