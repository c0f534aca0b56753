"""Convolutions as matrix products: the same numbers, faster where a CPU trains on small maps.

TensorFlow's gradient of a kernel does not use the matrix units of a CPU. On one core of a Xeon with
AMX, for 128 maps of 3 x 3 and a 1 x 1 kernel of 512 x 2048, it takes 35 ms in bfloat16 and 27 ms in
float32; as a product it takes 4 and 14 ms. Forward it is 3 and 13 ms instead of 8 and 24 ms.
"""

import functools
from collections.abc import Iterable
from typing import Any

from features.engines.hardware import gpu_names

_MAX_POSITIONS = 64  # of a map: patches of larger maps take memory, and convolution is fast there


def use_products(layers: Iterable[Any]) -> None:
    """Let the convolutions that gain by it compute as matrix products; their weights stay."""
    import keras

    if keras.backend.backend() != "tensorflow" or gpu_names():
        return
    for layer in layers:
        if _is_faster_as_product(layer):
            # The method that Keras calls for this; a saved model does not hold the change.
            layer.convolution_op = functools.partial(_convolve, layer)


def _is_faster_as_product(layer: Any) -> bool:
    import keras

    plain = type(layer) is keras.layers.Conv2D and layer.data_format == "channels_last"
    if not plain or layer.groups > 1 or max(layer.dilation_rate) > 1:
        return False
    _, height, width, _ = layer.output.shape
    return height * width <= _MAX_POSITIONS


def _convolve(layer: Any, x: Any, kernel: Any) -> Any:
    """Return the layer's convolution of x (b, h, w, c), (b, h', w', c')."""
    from keras import ops

    (down, right), (height, width, channels, filters) = layer.strides, kernel.shape
    if layer.padding == "same":
        x = ops.pad(x, [(0, 0), *map(_padding, x.shape[1:3], kernel.shape, layer.strides), (0, 0)])
    rows = (x.shape[1] - height) // down + 1
    columns = (x.shape[2] - width) // right + 1
    patches = [
        x[
            :,
            top : top + (rows - 1) * down + 1 : down,
            left : left + (columns - 1) * right + 1 : right,
        ]
        for top in range(height)
        for left in range(width)
    ]  # each (b, h', w', c)
    size = height * width * channels
    flat = ops.reshape(ops.concatenate(patches, axis=-1), (-1, size))
    product = ops.matmul(flat, ops.reshape(kernel, (size, filters)))
    return ops.reshape(product, (-1, rows, columns, filters))


def _padding(size: int, kernel: int, stride: int) -> tuple[int, int]:
    """Return how much TensorFlow pads before and after, where the padding is "same"."""
    missing = max(0, (-(-size // stride) - 1) * stride + kernel - size)
    return missing // 2, missing - missing // 2
