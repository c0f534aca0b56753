"""Shapes, receptive fields, parameters and MACs against published values and hand counts."""

import numpy as np
import pytest

from features.backbones.anatomy import anatomy, measure
from features.backbones.catalog import find
from features.errors import UsageError


def facts_of(network):
    return {layer.name: layer for layer in measure(network, "output")}


# Receptive fields: table 1 of Araujo, Norris and Sim 2019. ResNet50 has 483 and not 427, as Keras
# strides in the first 1 x 1 convolution of a stage: its 3 x 3 convolution then sees the coarser
# grid. 7 + 4 (pool) + 3 * 8 + 4 * 16 + 6 * 32 + 3 * 64 = 483.
# MACs by hand for VGG16: 9 * in * out * positions of each of its 13 convolutions.
@pytest.mark.parametrize(
    ("name", "shape", "receptive_field", "parameters", "macs"),
    [
        ("vgg16", (7, 7, 512), 212, 14_714_688, 15_346_630_656),
        ("resnet50", (7, 7, 2048), 483, 23_587_712, 3.86e9),
        ("mobilenet", (7, 7, 1024), 315, 3_228_864, 0.568e9),
        ("inceptionv3", (8, 8, 2048), 1311, 21_802_784, 5.71e9),
    ],
)
def test_published_values(name, shape, receptive_field, parameters, macs):
    backbone = find(name)
    layers = [each for each in anatomy(backbone, recommended_only=True) if len(each.shape) == 3]
    assert [(layer.name, layer.pooled) for layer in layers] == list(backbone.layers)
    last = layers[-1]
    assert (last.shape, last.receptive_field) == (shape, receptive_field)
    assert last.flattened == np.prod(shape)
    assert last.parameters == parameters
    assert last.macs == pytest.approx(macs, rel=2e-3)
    for key in ("receptive_field", "parameters", "macs"):
        values = [getattr(layer, key) for layer in layers]
        assert values == sorted(values)


def test_all_layers_of_vgg16_by_hand():
    layers = anatomy(find("vgg16"), (64, 96))
    assert len(layers) == 18
    first = layers[0]
    assert (first.name, first.shape, first.receptive_field) == ("block1_conv1", (64, 96, 64), 3)
    assert (first.parameters, first.macs) == (27 * 64 + 64, 27 * 64 * 64 * 96)
    assert [layer.receptive_field for layer in layers[:6]] == [3, 5, 6, 10, 14, 16]


def test_too_small_an_image():
    with pytest.raises(UsageError, match="at least 75 pixels"):
        anatomy(find("inceptionv3"), (74, 200))


def test_macs_and_parameters_of_every_kind_of_layer():
    import keras
    from keras import layers

    x = inputs = keras.Input((16, 16, 4))
    x = layers.Conv2D(8, 3, strides=2, padding="same", groups=2, name="grouped")(x)  # 8 x 8
    x = layers.DepthwiseConv2D(5, padding="same", use_bias=False, name="depthwise")(x)
    x = layers.SeparableConv2D(6, 3, padding="same", use_bias=False, name="separable")(x)
    x = layers.BatchNormalization(name="norm")(x)
    inner = [layers.Dense(10, name="pointwise"), layers.ReLU(name="rectified")]
    x = keras.Sequential(inner, name="nest")(x)
    facts = facts_of(keras.Model(inputs, layers.Conv2D(3, 1)(x)))
    added = {
        "grouped": (9 * 2 * 8 + 8, 64 * 9 * 2 * 8),
        "depthwise": (25 * 8, 64 * 25 * 8),
        "separable": (9 * 8 + 8 * 6, 64 * (9 * 8 + 8 * 6)),
        "norm": (4 * 6, 0),
        "pointwise": (6 * 10 + 10, 64 * 6 * 10),
        "rectified": (0, 0),
        "nest": (0, 0),
        "output": (10 * 3 + 3, 64 * 10 * 3),
    }
    assert list(facts) == list(added)
    totals = np.cumsum(list(added.values()), axis=0)
    assert [(layer.parameters, layer.macs) for layer in facts.values()] == [*map(tuple, totals)]


def test_a_layer_counts_what_it_depends_on_and_follows_the_widest_branch():
    import keras
    from keras import layers

    inputs = keras.Input((16, 16, 1))
    narrow = layers.Conv2D(1, 3, padding="same", use_bias=False, name="narrow")(inputs)
    wide = layers.Conv2D(1, 7, padding="same", use_bias=False, name="wide")(inputs)
    both = layers.Add(name="both")([narrow, wide])
    gate = layers.GlobalAveragePooling2D(keepdims=True, name="squeeze")(both)
    scaled = layers.Multiply(name="excite")([both, gate])
    facts = facts_of(keras.Model(inputs, layers.ReLU()(scaled)))
    assert [facts[name].receptive_field for name in ("narrow", "wide", "both")] == [3, 7, 7]
    assert [facts[name].parameters for name in ("narrow", "wide", "both")] == [9, 49, 58]
    assert [facts[name].receptive_field for name in ("squeeze", "excite", "output")] == [None] * 3


def test_receptive_field_is_what_pixels_change_the_output():
    """Light one row of pixels at a time and see in which images the middle output changes."""
    import keras
    from keras import layers

    x = inputs = keras.Input((96, 96, 1))
    ones = {"use_bias": False, "kernel_initializer": "ones", "padding": "same"}
    x = layers.Conv2D(1, 5, strides=2, **ones)(x)
    x = layers.MaxPooling2D(3, strides=2, padding="same")(x)
    x = layers.Conv2D(1, 3, dilation_rate=2, **ones)(x)
    branch = layers.Conv2D(1, (1, 7), **ones)(x)
    branch = layers.Conv2D(1, (7, 1), **ones)(branch)
    x = layers.Add()([branch, layers.AveragePooling2D(2, strides=1, padding="same")(x)])
    network = keras.Model(inputs, x)
    lit = np.eye(96, dtype=np.float32)[:, :, None, None] * np.ones((1, 1, 96, 1), np.float32)
    middle = np.asarray(network(lit))[:, 12, 12, 0]
    assert measure(network, "output")[-1].receptive_field == np.count_nonzero(middle) == 49
