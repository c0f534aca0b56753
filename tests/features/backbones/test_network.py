"""The network with its taps: against plain keras.applications, and against numpy."""

import inspect
import sys

import numpy as np
import pytest

from features.backbones.anatomy import measure
from features.backbones.catalog import MAP_POOLINGS, SCALINGS, find
from features.backbones.network import (
    build,
    feature_shapes,
    randomize,
    scaled,
    tappable,
    walk,
    with_taps,
)
from features.errors import MissingPackageError, UsageError
from tests.features.backbones.conftest import draw_pixels

NONE = SCALINGS["none"]
SMALL = find("mobilenetv3small")


def test_the_table_describes_the_network(family):
    backbone, base, _ = family
    assert base.count_params() == backbone.parameters
    facts = {layer.name: layer for layer in measure(base, backbone.output)}
    assert [(name, facts[name].pooled) for name, _ in backbone.layers] == list(backbone.layers)
    assert min(min(layer.shape) for layer in facts.values()) >= 1
    assert facts[backbone.output].parameters == backbone.parameters
    macs = [facts[name].macs for name, _ in backbone.layers]
    assert macs == sorted(macs)


@pytest.mark.parametrize("scaling", SCALINGS.values(), ids=SCALINGS)
def test_every_channel_is_scaled_by_its_own_numbers_to_the_bit(scaling):
    pixels = draw_pixels(8, 9).astype(np.float32)
    channels = pixels[..., ::-1] if scaling.order == "BGR" else pixels
    expected = channels * np.array(scaling.scale, np.float32)
    expected += np.array(scaling.offset, np.float32)
    found = np.asarray(scaled(pixels, scaling))
    assert found.dtype == np.float32
    assert np.array_equal(found, expected)


@pytest.mark.filterwarnings("ignore:.*Weights for input shape")
def test_features_are_those_of_keras_with_its_own_weights(family, tmp_path, monkeypatch):
    """Keras builds its network as for its ImageNet weights, and is handed ours as that file."""
    import keras
    from keras.src.utils import file_utils

    backbone, base, pixels = family
    base.save_weights(tmp_path / "ours.weights.h5")
    monkeypatch.setattr(file_utils, "get_file", lambda *_, **__: str(tmp_path / "ours.weights.h5"))
    builder = getattr(keras.applications, backbone.builder)
    theirs = builder(include_top=False, input_shape=pixels.shape[1:], pooling="avg")
    scaled = inspect.getmodule(builder).preprocess_input(pixels.astype(np.float32))
    expected = np.asarray(theirs(scaled, training=False))

    layers = [name for name, _ in backbone.layers]
    network = with_taps(base, backbone, layers, "avg", SCALINGS[backbone.scaling])
    found = {name: np.asarray(values) for name, values in network(pixels).items()}
    assert {name: values.shape for name, values in found.items()} == {
        name: (len(pixels), channels) for name, channels in backbone.layers
    }
    assert all(np.isfinite(values).all() for values in found.values())
    ours = found[backbone.output]
    lengths = np.linalg.norm(ours, axis=1) * np.linalg.norm(expected, axis=1)
    assert ((ours * expected).sum(axis=1) / lengths).min() > 0.9999
    np.testing.assert_allclose(ours, expected, rtol=1e-3, atol=1e-4 * np.abs(expected).max())


@pytest.fixture(scope="module")
def small():
    base = build(SMALL, (48, 64))
    randomize(base, 0)
    return base


@pytest.mark.parametrize("pooling", MAP_POOLINGS)
def test_poolings(small, pooling):
    layers = ["conv", SMALL.output]
    pixels = draw_pixels(48, 64)
    maps = with_taps(small, SMALL, layers, "none", NONE)(pixels)
    network = with_taps(small, SMALL, layers, pooling, NONE)
    found = network(pixels)
    for name in layers:
        values = np.asarray(maps[name])
        mean, most = values.mean(axis=(1, 2)), values.max(axis=(1, 2))
        expected = {
            "avg": mean,
            "max": most,
            "avgmax": np.concatenate([mean, most], axis=1),
            "flatten": values.reshape(len(values), -1),
            "none": values,
        }[pooling]
        np.testing.assert_allclose(np.asarray(found[name]), expected, rtol=1e-4, atol=1e-6)
        assert feature_shapes(network)[name] == expected.shape[1:]


def test_taps_give_the_outputs_of_their_layers():
    import keras

    vgg = find("vgg16")
    base = build(vgg, (32, 40))
    randomize(base, 0)
    pixels = draw_pixels(32, 40)
    layers = ["block1_conv2", "block5_pool", "block3_pool"]
    found = with_taps(base, vgg, layers, "none", SCALINGS["caffe"])(pixels)
    scaled = keras.applications.vgg16.preprocess_input(pixels.astype(np.float32))
    for name in layers:
        expected = keras.Model(base.input, base.get_layer(name).output)(scaled)
        np.testing.assert_allclose(np.asarray(found[name]), np.asarray(expected), rtol=1e-4)


def test_layers_inside_a_nested_model_can_be_tapped():
    import keras

    backbone = find("convnexttiny")
    base = build(backbone, (32, 32))
    randomize(base, 0)
    pixels = draw_pixels(32, 32)
    for name, nest, position in [
        ("convnext_tiny_stem_conv", "convnext_tiny_stem", 0),
        ("convnext_tiny_downsampling_layernorm_1", "convnext_tiny_downsampling_block_1", 0),
        ("convnext_tiny_downsampling_block_1", "convnext_tiny_downsampling_block_1", 1),
    ]:
        found = with_taps(base, backbone, [name], "none", NONE)(pixels)[name]
        nested = base.get_layer(nest)
        expected = keras.Model(base.input, nested.input)(pixels.astype(np.float32))
        for layer in nested.layers[: position + 1]:
            expected = layer(expected)
        np.testing.assert_allclose(np.asarray(found), np.asarray(expected), rtol=1e-4, atol=1e-5)


def test_names_do_not_depend_on_what_was_built_before(small):
    again = build(SMALL, (32, 32))
    assert again.layers[-1].name != small.layers[-1].name  # which is why it goes by "output"
    names = [list(tappable(list(walk(network)), SMALL.output)) for network in (small, again)]
    assert names[0] == names[1]
    assert "output" in names[0]
    assert not [name for name in names[0] if name.startswith(("activation", "re_lu"))]


@pytest.mark.parametrize("dtype", [np.float32, np.int64, bool])
def test_pixels_that_are_not_uint8_are_refused(small, dtype):
    network = with_taps(small, SMALL, [SMALL.output], "avg", NONE)
    pixels = draw_pixels(48, 64).astype(dtype)
    with pytest.raises(UsageError, match=f"pixels are {np.dtype(dtype)}, expected RGB uint8"):
        network(pixels)
    with pytest.raises(UsageError, match="expected RGB uint8"):
        network.predict(pixels, verbose=0)


@pytest.mark.parametrize(
    ("layers", "pooling", "message"),
    [
        (["expanded_conv_2_ad"], "avg", "did you mean expanded_conv_2_add"),
        (["?"], "avg", "known: expanded_conv_project_bn, .*, output, conv_2, logits$"),
        (["conv", "activation_17"], "avg", "no layer of mobilenetv3small is called"),
        (["conv", "output", "conv"], "avg", "layer conv is asked for twice"),
        (["output"], "mean", "no pooling is called 'mean'"),
    ],
)
def test_what_cannot_be_tapped(small, layers, pooling, message):
    with pytest.raises(UsageError, match=message):
        with_taps(small, SMALL, layers, pooling, NONE)


@pytest.mark.parametrize(("name", "size"), [("vgg16", (16, 16)), ("xception", (300, 70))])
def test_images_that_are_too_small(name, size):
    least = find(name).min_size
    message = (
        f"{name} needs images of at least {least} pixels a side, got {size[0]}x{size[1]}; "
        f"use --image-size {least} or more"
    )
    with pytest.raises(UsageError) as error:
        build(find(name), size)
    assert str(error.value) == message


def test_features_are_float32_whatever_the_network_computes_in(small):
    import keras

    pixels = draw_pixels(48, 64)
    expected = np.asarray(with_taps(small, SMALL, ["output"], "avg", NONE)(pixels)["output"])
    keras.config.set_dtype_policy("mixed_bfloat16")
    try:
        base = build(SMALL, (48, 64))
        randomize(base, 0)
        found = np.asarray(with_taps(base, SMALL, ["output"], "avg", NONE)(pixels)["output"])
    finally:
        keras.config.set_dtype_policy("float32")
    assert found.dtype == np.float32
    lengths = np.linalg.norm(found, axis=1) * np.linalg.norm(expected, axis=1)
    assert ((found * expected).sum(axis=1) / lengths).min() > 0.99


def test_random_weights_are_seeded(small):
    import keras

    inputs = keras.Input((8, 8, 64))
    x = keras.layers.Conv2D(128, 3, name="conv")(inputs)
    x = keras.layers.DepthwiseConv2D(5, name="depthwise")(x)
    x = keras.Sequential([keras.layers.Dense(512)], name="nested")(x)
    network = keras.Model(inputs, keras.layers.BatchNormalization(name="norm")(x))
    for weight in network.weights:
        weight.assign(weight + 7)
    randomize(network, 3)
    first = network.get_weights()
    randomize(network, 4)
    assert np.abs(network.get_layer("nested").get_weights()[0] - first[4]).max() > 0.1
    randomize(network, 3)
    for found, expected in zip(network.get_weights(), first, strict=True):
        np.testing.assert_array_equal(found, expected)
    kernels = {layer.name: layer.get_weights()[0] for layer in network.layers if layer.weights}
    for name, fan_in in (("conv", 9 * 64), ("depthwise", 25), ("nested", 128)):
        assert kernels[name].std() == pytest.approx((2 / fan_in) ** 0.5, rel=0.05)
    constants = [weight[0] for weight in network.get_layer("norm").get_weights()]
    assert constants == [1, 0, 0, 1]
    assert not network.get_layer("conv").get_weights()[1].any()


def test_without_keras_the_install_line_is_told(monkeypatch):
    monkeypatch.setitem(sys.modules, "keras", None)  # its import fails
    with pytest.raises(MissingPackageError, match="pip install tensorflow"):
        build(find("vgg16"), (64, 64))
