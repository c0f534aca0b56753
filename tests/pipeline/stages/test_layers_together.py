"""Layers of one network and of two, learned from side by side, from `classify` to `predict`."""

import dataclasses
import logging

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from features import FeatureFile
from features.config import ExtractConfig
from features.errors import UsageError
from features.extraction import run as extraction
from pipeline.config import (
    ClassifyConfig,
    CompareConfig,
    EvaluateConfig,
    ExportConfig,
    PackConfig,
    PredictConfig,
)
from pipeline.data.layers import features_of
from pipeline.predictors.explaining import OCCLUSION, explainer
from pipeline.predictors.kit import open_kit
from pipeline.predictors.of_images import image_predictor
from pipeline.reports.provenance import classification
from pipeline.results.predictions import VALIDATION, Predictions
from pipeline.results.records import candidates, read_record
from pipeline.search import workspace
from pipeline.search.memory import Memory
from pipeline.stages import classify, compare, evaluate, export, pack, predict
from tests.pipeline.candidates import change
from tests.pipeline.networks.images import colours, write_arrays

SHALLOW, DEEP = "conv_pw_1_relu", "conv_pw_3_relu"
ONE = f"mobilenet.{SHALLOW}+{DEEP}.logistic"
TWO = f"mobilenet+alexnet.{DEEP}+pool2.logistic"
LAYERS = f"{SHALLOW}+{DEEP},mobilenet:{DEEP}+alexnet:pool2"


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    """A source, features of it by two networks, and a results folder with layers together."""
    folder = tmp_path_factory.mktemp("home")
    source = write_arrays(folder / "c.npz", *colours(120))
    files = [
        extraction.run(
            ExtractConfig(
                source, folder / f"{name}.h5", name, "none", layers=layers, image_size=64,
                engine="tensorflow", precision="float32", batch_size=batch, progress=False,
            )
        )
        for name, layers, batch in (("mobilenet", f"{SHALLOW},{DEEP}", 8), ("alexnet", "pool2", 12))
    ]  # fmt: skip
    config = ClassifyConfig(
        files, folder / "results", "logistic,nearest-centroid", LAYERS, folds=2, progress=False
    )
    classify.run(config)
    return folder


def test_candidates_say_what_they_learned_from(home):
    records = candidates(home / "results")
    assert {ONE, TWO} < set(records)
    assert records[ONE].inputs["dimensions"] == 64 + 128
    assert [part["backbone"] for part in records[TWO].inputs["parts"]] == ["mobilenet", "alexnet"]
    assert records[TWO].extraction["seconds_1000"] > records[ONE].extraction["seconds_1000"]


def test_joined_layers_are_never_written(home, monkeypatch):
    def fail(*arguments):
        raise AssertionError("a matrix was written")

    monkeypatch.setattr(workspace, "write_matrix", fail)
    files = [home / "mobilenet.h5", home / "alexnet.h5"]
    out = home / "again"
    classify.run(ClassifyConfig(files, out, "nearest-centroid", "all+", folds=2, progress=False))
    assert len(candidates(out)) == 1


def test_in_blocks_it_learns_the_same(home, monkeypatch):
    files = [home / "mobilenet.h5", home / "alexnet.h5"]
    config = ClassifyConfig(
        files, home / "whole", "ridge", LAYERS, folds=2, tune=False, progress=False
    )
    whole = classify.run(config)
    monkeypatch.setattr(classify, "measure", lambda *_: Memory(2**30, 2**28, by_blocks=True))
    read = classify.run(dataclasses.replace(config, out=home / "blocks"))
    for name, record in candidates(whole.path).items():
        one, other = (
            Predictions.read(folder / name / VALIDATION, record.class_names)
            for folder in (whole.path, read.path)
        )
        np.testing.assert_allclose(one.probabilities, other.probabilities, atol=1e-3)
        assert read_record(read.path / name).memory == 2**30


def test_what_is_finished_is_kept(home, caplog):
    files = [home / "mobilenet.h5", home / "alexnet.h5"]
    with caplog.at_level(logging.INFO, "offshelf"):
        classify.run(
            ClassifyConfig(
                files, home / "results", "logistic,nearest-centroid", LAYERS, folds=2,
                progress=False,
            )
        )  # fmt: skip
    assert "4 of 4 candidates are finished already" in caplog.text


def test_the_command_that_makes_them_is_told(home):
    records = list(candidates(home / "results").values())
    command = classification(records, home / "results", 1)
    assert str(home / "alexnet.h5") in command
    assert f"mobilenet:{DEEP}+alexnet:pool2" in command


def test_they_are_compared_and_evaluated(home):
    comparison = compare.run(CompareConfig((home / "results",), resamples=50))
    assert {entry.record.name for entry in comparison.ranking.entries} > {ONE, TWO}
    for name in (ONE, TWO):
        facts = evaluate.run(EvaluateConfig(home / "results", name, resamples=50)).facts
        assert facts["metrics"]["accuracy"]["value"] > 0.8


def predicted(home, place, out):
    """Return the table of predictions of 40 new images."""
    source = write_arrays(home / f"{out}.npz", *colours(40, seed=9))
    table = home / f"{out}.parquet"
    predict.run(PredictConfig(place, str(source), table, TWO, progress=False))
    return pd.read_parquet(table)


@pytest.mark.parametrize("candidate", [ONE, TWO])
def test_new_images_are_predicted_by_all_parts(home, candidate):
    """The features of new images are those of the files, side by side."""
    with open_kit(home / "results", candidate) as kit:
        predictor = image_predictor(kit)
        assert len(predictor.rebuilt) == (1 if candidate == ONE else 2)
        x, _ = colours(120)
        with FeatureFile(home / "mobilenet.h5") as file:
            ids = [str(image) for image in file.ids[:4]]
        stored = features_of(kit.record.inputs, ids)
        pixels = np.zeros((predictor.batch_size, 64, 64, 3), np.uint8)
        for number in range(4):
            image = Image.fromarray(x[number]).resize((64, 64), Image.Resampling.BILINEAR)
            pixels[number] = np.asarray(image)
        made = predictor.vectors(pixels)[:4]
    np.testing.assert_allclose(made, stored, rtol=1e-3, atol=1e-4)


def test_evidence_is_shown_by_occlusion(home):
    with open_kit(home / "results", TWO) as kit:
        predictor = image_predictor(kit)
        explaining = explainer(kit, predictor)
        pixels = np.random.default_rng(0).integers(0, 256, (64, 64, 3), np.uint8)
        assert explaining.explain(pixels, 0).method == OCCLUSION


def test_a_pack_predicts_the_same(home):
    file = pack.run(PackConfig(home / "results", home / "two.zip", TWO))
    here, there = predicted(home, home / "results", "a"), predicted(home, file, "b")
    columns = [name for name in here.columns if name.startswith("probability")]
    np.testing.assert_allclose(here[columns], there[columns], atol=1e-5)
    assert (here["class"] == there["class"]).all()
    with pytest.raises(UsageError, match="packs one network, and this candidate has 2"):
        pack.run(PackConfig(home / "results", home / "c.zip", TWO, with_weights=True))


@pytest.mark.parametrize("candidate", [ONE, TWO])
def test_it_is_exported_as_one_network(home, tmp_path, candidate):
    from pipeline.exporting import onnx_file

    x, _ = colours(4, 64, seed=3)
    out = export.run(ExportConfig(home / "results", tmp_path / "m.onnx", candidate))
    with open_kit(home / "results", candidate) as kit:
        predictor = image_predictor(kit, batch_size=4)
        expected = predictor.probabilities(predictor.vectors(x))
    np.testing.assert_allclose(onnx_file.probabilities(out, x), expected, atol=1e-4)
    for name in ("m.keras", "m"):
        export.run(ExportConfig(home / "results", tmp_path / name, candidate))


def test_networks_that_see_images_differently_cannot_predict(home):
    record = read_record(home / "results" / TWO)
    first, second = record.inputs["parts"]
    larger = second | {"recipe": second["recipe"] | {"image_size": [96, 96]}}
    change(home / "results", TWO, inputs=record.inputs | {"parts": [first, larger]})
    try:
        with (
            open_kit(home / "results", TWO) as kit,
            pytest.raises(
                UsageError, match=r"mobilenet sees images with image_size .*, alexnet with .*96"
            ),
        ):
            image_predictor(kit)
    finally:
        change(home / "results", TWO, inputs=record.inputs)
