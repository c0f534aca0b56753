"""Batch normalization folded into the layer before it, for any functional Keras model.

At inference a batch norm is the linear map y = s * x + t, with s = gamma / sqrt(variance + epsilon)
and t = beta - s * mean, per channel. After a linear layer both are one linear layer with other
weights (Jacob et al. 2018, "Quantization and Training of Neural Networks for Efficient
Integer-Arithmetic-Only Inference", section 3.2).
"""

from collections import Counter
from collections.abc import Collection, Iterator
from typing import Any

import numpy as np

# The weight whose last axis holds the output channels, by the class of the layer. A depthwise
# kernel has two such axes: input channels and multiplier.
_KERNELS = {
    "Conv2D": "kernel",
    "Dense": "kernel",
    "DepthwiseConv2D": "kernel",
    "SeparableConv2D": "pointwise_kernel",
}

# Layers that see pixels before they are scaled, for which bfloat16 has too few digits.
_ALWAYS_FLOAT32 = ("Rescaling", "Normalization")


def fold(network: Any, keep: Collection[str] = (), precision: str = "float32") -> Any:
    """Return a copy of a network that computes the same with fewer operations.

    A batch norm becomes an identity of the same name where its input is the output of a
    convolution (of any kind) or dense layer without activation, which no other layer reads.

    Args:
        network: a functional keras.Model; it is not changed.
        keep: names of layers whose own output is tapped, so that nothing is folded into them.
        precision: dtype of the copy's weights and operations, such as "bfloat16".
    """
    import keras

    norms = {norm.name: linear for norm, linear in _pairs(network, keep)}
    linears = {linear.name: network.get_layer(name) for name, linear in norms.items()}

    def copy(layer: Any) -> Any:
        if layer.name in norms:
            return keras.layers.Identity(name=layer.name, dtype=precision)
        config = layer.get_config()
        has_dtype = isinstance(layer, keras.Layer)  # a bare operation follows its inputs
        if has_dtype and type(layer).__name__ not in _ALWAYS_FLOAT32:
            _set_precision(config, precision)
        if layer.name in linears:
            config["use_bias"] = True
        return type(layer).from_config(config)

    def call(layer: Any, *arguments: Any, **options: Any) -> Any:
        # The graph holds the options a batch norm was called with; an identity knows none.
        return layer(*arguments, **({} if layer.name in norms else options))

    result = keras.models.clone_model(network, clone_function=copy, call_function=call)
    for layer in network.layers:
        if layer.name in linears:
            result.get_layer(layer.name).set_weights(_folded(layer, linears[layer.name]))
        elif layer.name not in norms and layer.weights:
            copied = result.get_layer(layer.name)
            copied.set_weights(layer.get_weights())
            if hasattr(copied, "finalize_state"):  # Normalization derives values from weights
                copied.finalize_state()
    return result


def _pairs(network: Any, keep: Collection[str]) -> Iterator[tuple[Any, Any]]:
    """Yield each batch norm that can be folded, and the linear layer to fold it into."""
    import keras

    readers = Counter(
        id(tensor)
        for operation in network.operations
        for tensor in keras.tree.flatten(operation.input)
    )
    readers.update(id(tensor) for tensor in keras.tree.flatten(network.outputs))
    producers = {id(operation.output): operation for operation in network.operations
                 if not isinstance(operation.output, list | tuple | dict)}  # fmt: skip
    for norm in network.layers:
        if not isinstance(norm, keras.layers.BatchNormalization) or _axis(norm) != -1:
            continue
        linear = producers[id(norm.input)]
        is_only_reader = readers[id(linear.output)] == 1 and linear.name not in keep
        if is_only_reader and type(linear).__name__ in _KERNELS and _is_linear(linear):
            yield norm, linear


def _axis(norm: Any) -> int:
    return -1 if norm.axis in (-1, len(norm.input.shape) - 1) else norm.axis


def _is_linear(layer: Any) -> bool:
    import keras

    return layer.activation is keras.activations.linear


def _folded(linear: Any, norm: Any) -> list[np.ndarray]:
    """Return the weights of one layer that computes the same as both, in float64."""
    scale, shift = _scale_and_shift(norm)
    kernel = _KERNELS[type(linear).__name__]
    weights = {
        weight.name: np.asarray(values, np.float64)
        for weight, values in zip(linear.weights, linear.get_weights(), strict=True)
    }
    channels = weights[kernel].shape[-2:] if "Depthwise" in type(linear).__name__ else -1
    weights[kernel] = weights[kernel] * scale.reshape(channels)
    weights["bias"] = scale * weights.get("bias", 0.0) + shift
    return list(weights.values())


def _scale_and_shift(norm: Any) -> tuple[np.ndarray, np.ndarray]:
    """Return s and t of a batch norm y = s * x + t, float64 of shape (channels,)."""
    values = {
        weight.name: np.asarray(array, np.float64)
        for weight, array in zip(norm.weights, norm.get_weights(), strict=True)
    }
    spread = np.sqrt(values["moving_variance"] + norm.epsilon)
    scale = values.get("gamma", 1.0) / spread
    return scale, values.get("beta", 0.0) - scale * values["moving_mean"]


def _set_precision(config: dict[str, Any], precision: str) -> None:
    """Set the dtype in a layer's config and in the configs of the layers within it."""
    config["dtype"] = precision
    for inner in config.get("layers", ()):
        _set_precision(inner["config"], precision)
