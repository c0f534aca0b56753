"""Convolutions as matrix products equal plain convolutions, forward and backward."""

import numpy as np
import pytest

from pipeline.networks.products import use_products


@pytest.mark.parametrize(
    "options",
    [
        {"kernel_size": 1},
        {"kernel_size": 1, "strides": 2},
        {"kernel_size": 3, "padding": "same", "activation": "relu"},
        {"kernel_size": 3, "strides": 2, "padding": "same"},
        {"kernel_size": (3, 2), "strides": (2, 1), "use_bias": False},
    ],
)
@pytest.mark.parametrize("size", [5, 6])
def test_values_and_gradients_are_those_of_the_convolution(options, size):
    keras = pytest.importorskip("keras")
    tf = pytest.importorskip("tensorflow")
    layer = keras.layers.Conv2D(4, bias_initializer="ones", **options)
    model = keras.Sequential([keras.Input((size, size, 3)), layer])
    x = tf.constant(np.random.default_rng(0).standard_normal((2, size, size, 3), np.float32))

    def results():
        with tf.GradientTape() as tape:
            tape.watch(x)
            y = model(x)
            loss = tf.reduce_sum(y**2)
        wanted = [x, *(variable.value for variable in layer.trainable_variables)]
        return [y, *tape.gradient(loss, wanted)]

    before = results()
    use_products([layer])
    assert layer.convolution_op.func.__name__ == "_convolve"
    for product, convolution in zip(results(), before, strict=True):
        np.testing.assert_allclose(product, convolution, rtol=1e-4, atol=1e-4)


def test_large_maps_and_grouped_convolutions_stay_as_they_are():
    keras = pytest.importorskip("keras")
    x = keras.Input((16, 16, 4))
    layers = [keras.layers.Conv2D(4, 3), keras.layers.Conv2D(4, 3, strides=4, groups=2)]
    for layer in layers:
        layer(x)
    use_products(layers)
    assert not any("convolution_op" in vars(layer) for layer in layers)
