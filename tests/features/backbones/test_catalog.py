"""The table of backbones against keras.applications, without building a single network."""

import inspect
import json
import subprocess
import sys

import numpy as np
import pytest

from features.backbones.catalog import (
    BACKBONES,
    SCALINGS,
    Backbone,
    PixelScaling,
    find,
    resolve_layers,
)
from features.errors import DataError, UsageError

OF_KERAS = [backbone for backbone in BACKBONES.values() if backbone.by_keras]
ALL = pytest.mark.parametrize("backbone", OF_KERAS, ids=lambda backbone: backbone.name)


def builder(backbone: Backbone):
    import keras

    return getattr(keras.applications, backbone.builder)


def test_every_network_of_keras_is_there():
    import keras

    classes = {name for name in dir(keras.applications) if name[0].isupper()}
    assert {backbone.builder for backbone in OF_KERAS} == classes


# Keras does not check the size of MobileNetV3; the names of its weights files say 224.
CHECKED = [backbone for backbone in OF_KERAS if backbone.family != "mobilenetv3"]


@pytest.mark.parametrize("backbone", CHECKED, ids=lambda backbone: backbone.name)
def test_input_size_is_that_of_the_imagenet_weights(backbone):
    expected = rf"\({backbone.size}, {backbone.size}, 3\)"
    with pytest.raises(ValueError, match=expected):
        builder(backbone)(weights="imagenet", input_shape=(1, 1, 3))


@ALL
def test_keras_refuses_less_than_the_least_size(backbone):
    least = backbone.min_size
    with pytest.raises(ValueError, match="at least"):
        builder(backbone)(weights=None, include_top=False, input_shape=(least, least - 1, 3))


@ALL
def test_scaling_is_what_keras_applies(backbone):
    pixels = np.arange(256 * 3, dtype=np.uint32).reshape(1, 16, 16, 3) % 256
    preprocess = inspect.getmodule(builder(backbone)).preprocess_input
    expected = preprocess(pixels.astype(np.float32))
    # Keras scales inside EfficientNet, by a layer that only its own weights get: test_network.py.
    scaling = SCALINGS["none" if backbone.family == "efficientnet" else backbone.scaling]
    ordered = pixels[..., ::-1] if scaling.order == "BGR" else pixels
    np.testing.assert_allclose(ordered * scaling.scale + scaling.offset, expected, atol=1e-4)


@pytest.mark.parametrize("scaling", SCALINGS.values(), ids=list(SCALINGS))
def test_scalings_survive_json(scaling):
    assert PixelScaling.from_dict(json.loads(json.dumps(scaling.to_dict()))) == scaling


@pytest.mark.parametrize(
    "change", [{"order": "GBR"}, {"scale": [1.0]}, {"offset": [0.0] * 4}, {"gamma": 2.2}]
)
def test_what_is_no_scaling_is_refused(change):
    with pytest.raises(DataError):
        PixelScaling.from_dict({**SCALINGS["torch"].to_dict(), **change})


@pytest.mark.parametrize(
    ("name", "found"),
    [
        ("ResNet-50", "resnet50"),
        ("VGG16", "vgg16"),
        ("efficientnet_v2_s", "efficientnetv2s"),
        ("MobileNetV3 Large", "mobilenetv3large"),
    ],
)
def test_names_are_found_however_they_are_written(name, found):
    assert find(name) is BACKBONES[found]


@pytest.mark.parametrize("name", ["vgg17", "VGG-17", "", "кот"])
def test_unknown_names_are_refused(name):
    with pytest.raises(UsageError, match=r"no backbone is called.*vgg16"):
        find(name)


def test_layers_default_to_the_last():
    vgg = find("vgg16")
    assert resolve_layers(vgg, None) == ("block5_pool",)
    assert resolve_layers(vgg, ["block1_conv1", "block3_pool"]) == ("block1_conv1", "block3_pool")


def test_the_table_is_cheap():
    code = (
        "import sys, features.backbones.catalog;"
        "sys.exit(bool({'numpy', 'keras', 'tensorflow'} & set(sys.modules)))"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
