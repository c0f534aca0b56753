"""Folding changes the operations and not the numbers."""

import numpy as np
import pytest

from features.backbones.folding import fold

# Batch norms that stay because what they read is a sum, stacked maps, a pooling or an activation.
STAYING = {
    "vgg": 0,
    "resnet": 0,
    "resnetv2": 17,
    "mobilenet": 0,
    "mobilenetv2": 0,
    "mobilenetv3": 0,
    "efficientnet": 0,
    "efficientnetv2": 0,
    "convnext": 0,
    "densenet": 62,
    "inception": 0,
    "inceptionresnet": 0,
    "xception": 0,
    "nasnet": 4,
}


def norms(network) -> int:
    return sum(type(layer).__name__ == "BatchNormalization" for layer in network.layers)


def relative_error(found, expected) -> float:
    return float(np.abs(found - expected).max() / np.abs(expected).max())


def test_every_family_gives_the_same(family):
    backbone, base, pixels = family
    before = [weights.copy() for weights in base.get_weights()]
    # In float64, so that what differs is the method and not the rounding of 300 layers.
    folded = fold(base, precision="float64")
    plain = fold(base, keep=[layer.name for layer in base.layers], precision="float64")
    assert norms(plain) == norms(base)
    x = pixels.astype(np.float64)
    assert relative_error(folded(x).numpy(), plain(x).numpy()) < 1e-10
    assert norms(folded) == STAYING[backbone.family]
    assert [x.name for x in folded.layers[1:]] == [x.name for x in base.layers[1:]]
    for weights, old in zip(base.get_weights(), before, strict=True):
        np.testing.assert_array_equal(weights, old)


def layered(*layers):
    import keras

    keras.utils.set_random_seed(0)
    inputs = keras.Input((8, 8, 3))
    x = inputs
    for layer in layers:
        x = layer(x)
    return keras.Model(inputs, x)


def shaken(network):
    """The network with every weight drawn, so that nothing is a no-op."""
    rng = np.random.default_rng(0)
    network.set_weights([rng.uniform(0.5, 1.5, w.shape) for w in network.get_weights()])
    return network


@pytest.mark.parametrize("options", [{}, {"scale": False}, {"center": False}, {"axis": 3}])
@pytest.mark.parametrize("use_bias", [True, False])
@pytest.mark.parametrize(
    "kind", ["Conv2D", "Conv2D in groups", "DepthwiseConv2D", "SeparableConv2D", "Dense"]
)
def test_every_linear_layer_takes_it(kind, use_bias, options):
    from keras import layers

    linear = {
        "Conv2D": lambda: layers.Conv2D(6, 3, dilation_rate=2, use_bias=use_bias),
        "Conv2D in groups": lambda: layers.Conv2D(6, 3, groups=3, use_bias=use_bias),
        "DepthwiseConv2D": lambda: layers.DepthwiseConv2D(3, depth_multiplier=2, use_bias=use_bias),
        "SeparableConv2D": lambda: layers.SeparableConv2D(6, 3, use_bias=use_bias),
        "Dense": lambda: layers.Dense(6, use_bias=use_bias),
    }[kind]()
    network = shaken(layered(linear, layers.BatchNormalization(**options), layers.ReLU()))
    folded = fold(network)
    assert norms(folded) == 0
    x = np.random.default_rng(1).normal(size=(2, 8, 8, 3)).astype(np.float32)
    np.testing.assert_allclose(folded(x), network(x), rtol=1e-4, atol=1e-4)


def test_what_would_not_be_the_same_is_left():
    import keras
    from keras import layers

    activated = layered(layers.Conv2D(4, 3, activation="relu"), layers.BatchNormalization())
    other_axis = layered(layers.Conv2D(6, 3), layers.BatchNormalization(axis=1))
    inputs = keras.Input((8, 8, 3))
    x = layers.Conv2D(3, 1, name="linear")(inputs)
    read_twice = keras.Model(inputs, layers.Add()([x, layers.BatchNormalization()(x)]))
    is_output = keras.Model(inputs, [x, layers.BatchNormalization()(x)])
    tapped = keras.Model(inputs, layers.BatchNormalization()(x))
    for network, keep in [
        (activated, ()), (other_axis, ()), (read_twice, ()), (is_output, ()), (tapped, ["linear"]),
    ]:  # fmt: skip
        shaken(network)
        folded = fold(network, keep)
        assert norms(folded) == 1
        data = np.random.default_rng(1).normal(size=(2, 8, 8, 3)).astype(np.float32)
        for found, expected in zip(
            keras.tree.flatten(folded(data)), keras.tree.flatten(network(data)), strict=True
        ):
            np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-5)
    assert norms(fold(tapped)) == 0


def test_precision_is_that_of_the_weights():
    from keras import layers

    network = layered(layers.Rescaling(1 / 255), layers.Conv2D(4, 3), layers.BatchNormalization())
    folded = fold(network, precision="bfloat16")
    assert {weight.dtype for weight in folded.weights} == {"bfloat16"}
    assert folded.layers[1].compute_dtype == "float32", "pixels have more digits than bfloat16"
