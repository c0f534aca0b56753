"""Configs take values as people give them, and refuse what cannot be meant; choices stand once."""

from pathlib import Path

import numpy as np
import pytest

from features.errors import UsageError
from pipeline.config import (
    AdviseConfig,
    BackbonesConfig,
    ClassifyConfig,
    CompareConfig,
    DemoConfig,
    EvaluateConfig,
    FetchConfig,
    FinetuneConfig,
    MapConfig,
    ReportConfig,
    ScratchConfig,
    choices,
)
from pipeline.maps.layouts import METHODS
from pipeline.networks.architectures import ARCHITECTURES
from pipeline.networks.augmentation import AMOUNTS
from pipeline.statistics import scoring


def test_one_path_or_name_stands_for_itself():
    config = ClassifyConfig("f.h5", "out", classifiers="ridge", layers="a, b")
    assert config.features == (Path("f.h5"),)
    assert config.out == Path("out")
    assert config.classifiers == ("ridge",)
    assert config.layers == ("a", "b")
    assert config == ClassifyConfig(["f.h5"], Path("out"), ["ridge"], ("a", "b"))


def test_what_is_no_name_among_the_classifiers_is_left_as_it_is():
    own = ("my-svm", object(), {"C": [1, 10]})
    assert ClassifyConfig("f.h5", "out", ["ridge", own]).classifiers == ("ridge", own)


@pytest.mark.parametrize("size", [96, (96, 96), [96, 96]])
def test_an_image_size_is_one_number_or_two(size):
    for config in (
        ScratchConfig("photos", "out", image_size=size),
        FinetuneConfig("photos", "out", image_size=size),
        BackbonesConfig("resnet50", size),
        DemoConfig(image_size=size),
    ):
        assert config.image_size == (96, 96)


def test_blocks_come_as_names_or_numbers():
    assert FinetuneConfig("photos", "out", unfreeze=2).unfreeze == ("2",)
    assert FinetuneConfig("photos", "out", unfreeze=["conv5", 3]).unfreeze == ("conv5", "3")
    assert FinetuneConfig("photos", "out", unfreeze="conv5,conv4").unfreeze == ("conv5", "conv4")
    assert FinetuneConfig("photos", "out", head=Path("r/logistic")).head == str(Path("r/logistic"))


@pytest.mark.parametrize(
    ("config", "values", "message"),
    [
        (ClassifyConfig, {"features": ()}, r"features=\(\): expected at least 1 path"),
        (ClassifyConfig, {"features": 5}, "features=5: expected a path"),
        (ClassifyConfig, {"out": None}, "out=None: expected a path"),
        (ClassifyConfig, {"classifiers": 3}, "classifiers=3: expected names"),
        (ClassifyConfig, {"budget": 0}, "budget=0: expected a number above 0"),
        (ClassifyConfig, {"budget": "30m"}, "budget='30m': expected a number above 0"),
        (ClassifyConfig, {"folds": 1}, "folds=1: expected a whole number of at least 2"),
        (ClassifyConfig, {"metric": "acuracy"}, "no metric is called 'acuracy'; did you mean acc"),
        (ClassifyConfig, {"tune": "no"}, "tune='no': expected True or False"),
        (ClassifyConfig, {"seed": -1}, "seed=-1: expected a whole number of at least 0"),
        (ScratchConfig, {"image_size": "large"}, "image_size='large': expected pixels"),
        (ScratchConfig, {"name": "a/b"}, "name='a/b': expected a name that a folder can have"),
        (ScratchConfig, {"name": "models"}, "name='models': expected another name"),
        (ScratchConfig, {"epochs": 0}, "epochs=0: expected a whole number of at least 1"),
        (ScratchConfig, {"batch_size": 1.5}, "batch_size=1.5: expected a whole number"),
        (ScratchConfig, {"learning_rate": 0}, "learning_rate=0: expected a number above 0"),
        (ScratchConfig, {"weight_decay": -1}, "weight_decay=-1: expected a number of at least 0"),
        (ScratchConfig, {"label_smoothing": 5}, "label_smoothing=5: expected a share"),
        (ScratchConfig, {"schedule": "cosin"}, "did you mean cosine"),
        (ScratchConfig, {"precision": "float16"}, "no precision is called 'float16'"),
        (ScratchConfig, {"architecture": "lenett"}, "did you mean lenet"),
        (ScratchConfig, {"augment": "flop"}, "no augment is called 'flop'; did you mean flip"),
        (ScratchConfig, {"augment": "auto,flip"}, "augment=auto,flip: auto stands alone"),
        (ScratchConfig, {"augment": ()}, r"augment=\(\): expected at least 1 name"),
        (FinetuneConfig, {"backbone": "resnet5"}, "did you mean resnet50"),
        (FinetuneConfig, {"image_size": 8}, "at least 32"),
        (FinetuneConfig, {"scaling": "tensorflow"}, "no scaling is called"),
        (FinetuneConfig, {"engine": "onnx"}, "no engine is called 'onnx'"),
        (FinetuneConfig, {"warmup": "one"}, "warmup='one': expected a number of at least 0"),
        (FinetuneConfig, {"views": -1}, "views=-1: expected a whole number of at least 0"),
        (CompareConfig, {"results": []}, "expected at least 1 path"),
        (CompareConfig, {"resamples": 0}, "resamples=0: expected a whole number of at least 1"),
        (CompareConfig, {"confidence": 0.0}, "confidence=0.0: expected a number between 0 and 1"),
        (EvaluateConfig, {"confidence": 95.0}, "confidence=95.0: expected a share from 0 to 1"),
        (EvaluateConfig, {"candidate": ""}, "candidate='': expected a text"),
        (ReportConfig, {"images": 5}, "images=5: expected a path"),
        (AdviseConfig, {"folds": 0}, "folds=0: expected a whole number of at least 2"),
        (MapConfig, {"out": "map.pdf"}, "map.pdf: expected a name that ends in .html or .png"),
        (MapConfig, {"method": "pca"}, "no method is called 'pca'"),
        (MapConfig, {"components": 1}, "components=1: expected a whole number of at least 2"),
        (MapConfig, {"perplexity": "thirty"}, "perplexity='thirty': expected a number above 0"),
        (FetchConfig, {"name": None}, "name=None: expected a text"),
        (DemoConfig, {"folds": 1}, "folds=1: expected a whole number of at least 2"),
    ],
)  # fmt: skip
def test_what_cannot_be_meant_is_refused(config, values, message):
    needed = {
        ClassifyConfig: {"features": "f.h5", "out": "out"},
        ScratchConfig: {"source": "photos", "out": "out"},
        FinetuneConfig: {"source": "photos", "out": "out"},
        CompareConfig: {"results": "results"},
        EvaluateConfig: {"results": "results"},
        ReportConfig: {"results": "results"},
        AdviseConfig: {"features": "f.h5"},
        MapConfig: {"features": "f.h5", "out": "map.html"},
    }
    with pytest.raises(UsageError, match=message):
        config(**needed.get(config, {}) | values)


@pytest.mark.parametrize(
    ("registry", "names"),
    [
        (METHODS, choices.MAP_METHODS),
        (ARCHITECTURES, choices.ARCHITECTURES),
        (AMOUNTS, choices.AUGMENTATIONS),
    ],
)
def test_each_choice_is_implemented_and_nothing_else(registry, names):
    assert tuple(registry) == names


def test_each_metric_is_computed_and_nothing_else():
    labels = np.array([0, 1])
    assert choices.METRICS == scoring.RANKING_METRICS
    for metric in choices.METRICS:
        assert np.isfinite(scoring.score(metric, labels, np.eye(2)))
