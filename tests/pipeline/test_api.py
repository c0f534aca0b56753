"""The analyst's API: its signatures follow the configs, and it does what the commands do."""

import dataclasses
import inspect
import typing

import pytest

import pipeline
from features.storage.store import FeatureFile
from pipeline import config
from tests.pipeline.featurefiles import clusters, with_test_part, write_features

CONFIGS = {
    "add_predictions": config.AddConfig,
    "advise": config.AdviseConfig,
    "classify": config.ClassifyConfig,
    "compare": config.CompareConfig,
    "evaluate": config.EvaluateConfig,
    "fetch": config.FetchConfig,
    "finetune": config.FinetuneConfig,
    "map_features": config.MapConfig,
    "report": config.ReportConfig,
    "scratch": config.ScratchConfig,
}


@pytest.mark.parametrize("name", CONFIGS)
def test_each_signature_is_that_of_its_config(name):
    fields = {field.name: field for field in dataclasses.fields(CONFIGS[name])}
    parameters = inspect.signature(getattr(pipeline, name)).parameters
    assert set(parameters) == set(fields)
    for parameter in parameters.values():
        default = fields[parameter.name].default
        missing = default is dataclasses.MISSING
        assert parameter.default is (inspect.Parameter.empty if missing else default)


FUNCTIONS = [name for name in pipeline.__all__ if inspect.isfunction(getattr(pipeline, name))]


@pytest.mark.parametrize("name", FUNCTIONS)
def test_each_function_says_what_it_takes_gives_and_raises(name):
    function = getattr(pipeline, name)
    parameters = inspect.signature(function).parameters
    assert set(CONFIGS) <= set(FUNCTIONS)
    for section in ("Args:", "Returns:", "Raises:"):
        assert section in function.__doc__
    described = function.__doc__.partition("Args:")[2].partition("Returns:")[0]
    for parameter in parameters:
        assert f"\n        {parameter}: " in described
    assert "return" in function.__annotations__
    assert set(parameters) <= set(function.__annotations__)


@pytest.fixture
def features(tmp_path):
    x, labels = clusters(160, spread=2.0)
    return write_features(tmp_path / "f.h5", x, labels, parts=with_test_part(160))


def test_from_a_feature_file_to_the_locked_test(features, tmp_path):
    results = pipeline.classify(
        str(features), str(tmp_path / "results"), classifiers="ridge, nearest-centroid",
        folds=2, progress=False,
    )  # fmt: skip
    assert isinstance(results, pipeline.ResultsFolder)
    assert results.path == tmp_path / "results"
    assert set(results.frame()["title"]) == {"ridge classifier", "nearest centroid"}
    assert pipeline.splits(results)["split"].value_counts()["test"] == 40
    comparison = pipeline.compare(results, resamples=50)
    assert isinstance(comparison, pipeline.Comparison)
    page = pipeline.report(results, tmp_path / "report.html", resamples=50)
    assert "<html" in page.path.read_text()
    evaluation = pipeline.evaluate(results, comparison.best, resamples=50)
    assert isinstance(evaluation, pipeline.Evaluation)
    assert evaluation.fresh


def test_inspection(features):
    inspection = pipeline.inspect(str(features))
    with FeatureFile(features) as file:
        assert inspection.images == len(file)
        assert [layer.name for layer in inspection.layers] == list(file.layers)
        assert inspection.frame()["class"].tolist() == list(file.class_names)
    assert inspection.frame().drop(columns="class").to_numpy().sum() == 160
    assert inspection.problems == ()
    assert repr(inspection) == (
        f"Inspection({str(features)!r}): 160 images through vgg16, 1 layer, 0 rejected, "
        "every check passed"
    )
    assert "<table" in inspection._repr_html_()


def test_what_cannot_be_meant_is_refused_before_any_work(tmp_path):
    out = tmp_path / "out"
    for call in (
        lambda: pipeline.classify("f.h5", out, folds=1),
        lambda: pipeline.scratch("photos", out, architecture="lenett"),
        lambda: pipeline.finetune("photos", out, image_size="large"),
        lambda: pipeline.map_features("f.h5", out / "map.pdf"),
        lambda: pipeline.fetch("cifar-10", out / "c.h5"),
        lambda: pipeline.inspect(5),
    ):
        with pytest.raises(pipeline.UsageError):
            call()
    assert not out.exists()


def test_types_can_be_resolved():
    for name in ("compare", "evaluate", "fetch", "inspect", "map_features", "report", "finetune"):
        assert typing.get_type_hints(getattr(pipeline, name))["return"] is not type(None)
