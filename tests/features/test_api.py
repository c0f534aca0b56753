"""The calls of an analyst: arguments in every form, wrong ones refused before any work is done."""

import inspect
from dataclasses import fields
from pathlib import Path

import numpy as np
import pytest

import features
from features import ExtractConfig, FeatureFile, UsageError
from tests.features.examples import attributes, recipe, rows, write
from tests.features.faults import stub


def test_extract_has_the_fields_of_its_config_with_their_defaults():
    parameters = inspect.signature(features.extract).parameters
    assert list(parameters) == [field.name for field in fields(ExtractConfig)]
    for field in list(fields(ExtractConfig))[2:]:
        assert parameters[field.name].default == field.default
        assert parameters[field.name].kind is inspect.Parameter.KEYWORD_ONLY


def test_arguments_in_any_form_make_the_same_config():
    config = ExtractConfig(
        Path("photos"), Path("out.h5"), "vgg16", layers=("block4_pool", "block5_pool"),
        weights="w/vgg16.h5", image_size=(96, 96), batch_size=8, max_rejected=0.0,
    )  # fmt: skip
    other = ExtractConfig(
        "photos", "out.h5", "vgg16", layers="block4_pool,block5_pool",
        weights=Path("w/vgg16.h5"), image_size=96, batch_size=np.int64(8), max_rejected=0,
    )  # fmt: skip
    assert other == config
    assert ExtractConfig("a", "b", layers="post_relu").layers == ("post_relu",)
    assert ExtractConfig("a", "b", layers=["post_relu"]).layers == ("post_relu",)


def test_extract_takes_plain_arguments(tmp_path):
    images = stub.images(tmp_path / "images.npz", 8)
    plain = stub.extract(str(images), str(tmp_path / "plain.h5"), image_size=32, layers="out_relu")
    assert plain == tmp_path / "plain.h5"
    full = stub.extract(images, tmp_path / "full.h5", image_size=(32, 32), layers=("out_relu",))
    assert stub.datasets(plain) == stub.datasets(full)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"source": 7}, "source=7: expected a path"),
        ({"out": None}, "out=None: expected a path"),
        ({"backbone": None}, "backbone=None: expected a text"),
        ({"backbone": "vgg17"}, "no backbone is called 'vgg17'; did you mean vgg"),
        ({"weights": 3}, "weights=3: expected a text"),
        ({"scaling": "cafe"}, "no scaling is called 'cafe'; did you mean caffe"),
        ({"layers": 3}, "layers=3: expected names"),
        ({"layers": ()}, "expected at least 1 name"),
        ({"pooling": "mean"}, "no pooling is called 'mean'"),
        ({"image_size": "96"}, "image_size='96': expected pixels a side, such as 224"),
        ({"image_size": 16}, "resnet50 needs images of at least 32 pixels a side, got 16x16"),
        ({"resize": "pad"}, "no resize is called 'pad'"),
        ({"interpolation": "area"}, "no interpolation is called 'area'"),
        ({"exact_decode": "yes"}, "exact_decode='yes': expected True or False"),
        ({"engine": "openvin"}, "no engine is called 'openvin'; did you mean openvino"),
        ({"precision": "bf16"}, "no precision is called 'bf16'; did you mean bfloat16"),
        ({"batch_size": 2.5}, "batch_size=2.5: expected a whole number of at least 1"),
        ({"store": "float64"}, "no store is called 'float64'"),
        ({"limit": 0}, "limit=0: expected a whole number of at least 1"),
        ({"max_rejected": 5}, "max_rejected=5: expected a share from 0 to 1"),
        ({"restart": 1}, "restart=1: expected True or False"),
        ({"seed": -1}, "seed=-1: expected a whole number of at least 0"),
        ({"progress": None}, "progress=None: expected True or False"),
        ({"backbone": "hog", "pooling": "max"}, "--pooling: hog is made by hand"),
    ],
)
def test_wrong_values_are_refused_before_anything_is_done(tmp_path, options, message):
    place = tmp_path / "new"
    arguments = {"source": tmp_path / "missing", "out": place / "out.h5", **options}
    for make in (ExtractConfig, features.extract):
        with pytest.raises(UsageError, match=message) as caught:
            make(**arguments)
        assert "\n" not in str(caught.value)
    assert not place.exists()


def test_an_unknown_option_is_a_type_error():
    with pytest.raises(TypeError, match="layer"):
        features.extract("photos", "out.h5", layer="block5_pool")


def test_a_feature_file_shows_itself(tmp_path):
    path = tmp_path / "a & b.h5"
    write(path, [rows(0, 4, 2)], attributes(recipe()) | {"class_names": '["<cat>", "dog"]'})
    with FeatureFile(str(path)) as file:
        assert repr(file) == f"FeatureFile({str(path)!r}: 4 images; b (2, 2, 3), a (5,))"
        shown = file._repr_html_()
    assert "a &amp; b.h5" in shown
    assert "<td>2: &lt;cat&gt;, dog</td>" in shown
    assert "<td>4, and 2 rejected</td>" in shown
    assert "<tr><th>layer a</th><td>(4, 5) float32</td></tr>" in shown
    assert "vgg16, weights random, 32 x 48 pixels" in shown
    assert repr(file) == f"FeatureFile({str(path)!r}: closed)"
    assert "closed" in file._repr_html_()


def test_a_path_of_another_type_is_refused():
    with pytest.raises(UsageError, match="path=3: expected a path"):
        FeatureFile(3)
    with pytest.raises(UsageError, match="source=3: expected a path"):
        features.open_source(3)
