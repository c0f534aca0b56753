"""Layers and operations of Keras as operators of ONNX: all that our networks and heads are made of.

`call` follows the graph of a network and adds each of its operations to a graph of ONNX.
"""

import math
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import numpy as np
from onnx import TensorProto

from features.errors import UsageError
from pipeline.exporting.onnx_graph import Graph, Input, Value, axis_of

Shape = tuple[int | None, ...]
# Adds an operation to a graph by its arguments and the shape of its output; returns what it gives.
_Handler = Callable[[Graph, Any, Sequence[Any], Shape], Value | list[Value]]


def call(graph: Graph, network: Any, value: Value) -> Value:
    """Add a keras.Model of one input and one output to a graph; return its output.

    Raises:
        UsageError: it has a layer of a kind that is not known here.
    """
    return _outputs(graph, network, value)[0]


def _outputs(graph: Graph, network: Any, value: Value) -> list[Value]:
    """Add a keras.Model of one input; return all its outputs."""
    import keras

    if isinstance(network, keras.Sequential):
        for layer in network.layers:
            value = _operation(graph, layer, [value], [layer.output.shape])[0]
        return [value]
    values = {id(network.inputs[0]): value}
    for depth in sorted(network._nodes_by_depth, reverse=True):  # as Keras itself runs a network
        for node in network._nodes_by_depth[depth]:
            if node.is_input:
                continue
            positional, named = node.arguments.fill_in(values)
            arguments = [*positional, *(v for k, v in named.items() if isinstance(v, Value))]
            shapes = [output.shape for output in node.outputs]
            made = _operation(graph, node.operation, arguments, shapes)
            values |= {id(output): value for output, value in zip(node.outputs, made, strict=True)}
    return [values[id(output)] for output in network.outputs]


def _operation(
    graph: Graph, operation: Any, arguments: Sequence[Any], shapes: Sequence[Shape]
) -> list[Value]:
    import keras

    if isinstance(operation, keras.Model):
        return _outputs(graph, operation, arguments[0])
    kind = type(operation).__name__
    if kind not in _HANDLERS:
        raise UsageError(
            f"ONNX: a network with a layer of kind {kind} cannot be written; .keras and openvino/ "
            "can hold it"
        )
    made = _HANDLERS[kind](graph, operation, arguments, tuple(shapes[0]))
    return made if isinstance(made, list) else [made]


def _array(weight: Any) -> np.ndarray:
    from keras import ops

    return np.asarray(ops.convert_to_numpy(weight), np.float32)


def _bias(layer: Any) -> list[np.ndarray]:
    return [_array(layer.bias)] if layer.use_bias else []


def _channels(values: np.ndarray, value: Value) -> np.ndarray:
    """Return what stands for the last axis in Keras so that it fits a tensor of ONNX."""
    return values.reshape(-1, 1, 1) if value.is_map and values.ndim == 1 else values


def _activated(graph: Graph, value: Value, function: Any) -> Value:
    name = function.__name__
    add = partial(graph.add, shape=value.shape)
    if name == "linear":
        return value
    if name in _ACTIVATIONS:
        return add(_ACTIVATIONS[name], [value])
    if name == "relu6":
        return add("Clip", [value, np.float32(0), np.float32(6)])
    if name == "silu":
        return add("Mul", [value, add("Sigmoid", [value])])
    if name == "hard_sigmoid":
        return add("HardSigmoid", [value], alpha=1 / 6, beta=0.5)
    if name == "hard_silu":
        return add("HardSwish", [value])
    if name == "gelu":
        inside = add("Erf", [add("Mul", [value, np.float32(math.sqrt(0.5))])])
        half = add("Mul", [value, np.float32(0.5)])
        return add("Mul", [half, add("Add", [inside, np.float32(1)])])
    if name == "softmax":
        return add("Softmax", [value], axis=axis_of(-1, value))
    raise UsageError(f"ONNX: the activation {name} cannot be written; .keras and openvino/ can")


def _activation(graph: Graph, layer: Any, arguments: Sequence[Any], shape: Shape) -> Value:
    return _activated(graph, arguments[0], layer.activation)


def _relu(graph: Graph, layer: Any, arguments: Sequence[Any], shape: Shape) -> Value:
    if layer.negative_slope or layer.threshold:
        raise UsageError("ONNX: a ReLU with a slope or threshold cannot be written")
    if layer.max_value is None:
        return graph.add("Relu", [arguments[0]], shape)
    return graph.add("Clip", [arguments[0], np.float32(0), np.float32(layer.max_value)], shape)


def _sliding(layer: Any) -> dict[str, Any]:
    return {
        "strides": [*layer.strides],
        "auto_pad": "SAME_UPPER" if layer.padding == "same" else "VALID",
    }


def _convolution(graph: Graph, layer: Any, arguments: Sequence[Any], shape: Shape) -> Value:
    kernel = _array(layer.kernel).transpose(3, 2, 0, 1)  # (out, in / groups, h, w)
    inputs: list[Input] = [arguments[0], kernel, *_bias(layer)]
    made = graph.add(
        "Conv", inputs, shape, group=layer.groups, dilations=[*layer.dilation_rate],
        **_sliding(layer),
    )  # fmt: skip
    return _activated(graph, made, layer.activation)


def _by_channel(graph: Graph, layer: Any, value: Value, kernel: Any, inputs: list) -> Value:
    """Add a convolution of each channel by itself, of kernel (h, w, channels, multiplier)."""
    weights = _array(kernel).transpose(2, 3, 0, 1)  # (channels, multiplier, h, w)
    channels, multiplier, *window = weights.shape
    weights = weights.reshape(channels * multiplier, 1, *window)
    shape = (*value.shape[:3], channels * multiplier)
    return graph.add(
        "Conv", [value, weights, *inputs], shape, group=channels,
        dilations=[*layer.dilation_rate], **_sliding(layer),
    )  # fmt: skip


def _depthwise(graph: Graph, layer: Any, arguments: Sequence[Any], shape: Shape) -> Value:
    made = _by_channel(graph, layer, arguments[0], layer.kernel, _bias(layer))
    return _activated(graph, Value(made.name, shape), layer.activation)


def _separable(graph: Graph, layer: Any, arguments: Sequence[Any], shape: Shape) -> Value:
    middle = _by_channel(graph, layer, arguments[0], layer.depthwise_kernel, [])
    kernel = _array(layer.pointwise_kernel).transpose(3, 2, 0, 1)
    inputs: list[Input] = [middle, kernel, *_bias(layer)]
    return _activated(graph, graph.add("Conv", inputs, shape), layer.activation)


def _dense(graph: Graph, layer: Any, arguments: Sequence[Any], shape: Shape) -> Value:
    value, kernel, bias = arguments[0], _array(layer.kernel), _bias(layer)
    if value.is_map:  # on the channels of each position
        made = graph.add("Conv", [value, kernel.T[:, :, None, None], *bias], shape)
    else:
        made = graph.add("Gemm", [value, kernel, *bias], shape)
    return _activated(graph, made, layer.activation)


def _batch_norm(graph: Graph, layer: Any, arguments: Sequence[Any], shape: Shape) -> Value:
    if layer.axis not in (-1, len(shape) - 1):
        raise UsageError("ONNX: a batch norm of another axis than the channels cannot be written")
    mean, variance = _array(layer.moving_mean), _array(layer.moving_variance)
    gamma = _array(layer.gamma) if layer.scale else np.ones_like(mean)
    beta = _array(layer.beta) if layer.center else np.zeros_like(mean)
    inputs = [arguments[0], gamma, beta, mean, variance]
    return graph.add("BatchNormalization", inputs, shape, epsilon=layer.epsilon)


def _layer_norm(graph: Graph, layer: Any, arguments: Sequence[Any], shape: Shape) -> Value:
    (value,) = arguments
    axes = layer.axis if isinstance(layer.axis, list | tuple) else [layer.axis]
    if [axis % len(shape) for axis in axes] != [len(shape) - 1]:
        raise UsageError("ONNX: a layer norm of other axes than the channels cannot be written")
    channels = int(shape[-1] or 0)
    gamma = _array(layer.gamma) if layer.scale else np.ones(channels, np.float32)
    beta = _array(layer.beta) if layer.center else np.zeros(channels, np.float32)
    inputs: list[Input] = [graph.last(value), gamma, beta]
    (name,) = graph.node("LayerNormalization", inputs, axis=-1, epsilon=layer.epsilon)
    return graph.first(name, shape)


def _pool(kind: str, graph: Graph, layer: Any, arguments: Sequence[Any], shape: Shape) -> Value:
    return graph.add(kind, arguments, shape, kernel_shape=[*layer.pool_size], **_sliding(layer))


def _global(kind: str, graph: Graph, layer: Any, arguments: Sequence[Any], shape: Shape) -> Value:
    axes = np.array([2, 3])
    return graph.add(kind, [arguments[0], axes], shape, keepdims=int(layer.keepdims))


def _zero_pad(graph: Graph, layer: Any, arguments: Sequence[Any], shape: Shape) -> Value:
    (top, bottom), (left, right) = layer.padding
    return graph.add("Pad", [arguments[0], np.array([0, 0, top, left, 0, 0, bottom, right])], shape)


def _crop(graph: Graph, layer: Any, arguments: Sequence[Any], shape: Shape) -> Value:
    (top, _), (left, _) = layer.cropping
    height, width = (int(side or 0) for side in shape[1:3])
    starts, ends = np.array([top, left]), np.array([top + height, left + width])
    return graph.add("Slice", [arguments[0], starts, ends, np.array([2, 3])], shape)


def _merged(kind: str, graph: Graph, layer: Any, arguments: Sequence[Any], shape: Shape) -> Value:
    """Add an operation on two or more tensors, which come as one list or one by one."""
    first, *rest = arguments[0] if len(arguments) == 1 else arguments
    result = first
    for other in rest:
        result = graph.add(kind, [_operand(result, shape), _operand(other, shape)], shape)
    return result


def _operand(value: Any, shape: Shape) -> Input:
    if isinstance(value, Value):
        return value
    return _channels(np.asarray(value, np.float32), Value("", shape))


def _scaled_sum(graph: Graph, layer: Any, arguments: Sequence[Any], shape: Shape) -> Value:
    first, second = arguments[0]
    scaled = graph.add("Mul", [second, np.float32(layer.scale)], shape)
    return graph.add("Add", [first, scaled], shape)


def _layer_scale(graph: Graph, layer: Any, arguments: Sequence[Any], shape: Shape) -> Value:
    return graph.add("Mul", [arguments[0], _operand(_array(layer.gamma), shape)], shape)


def _rescaling(graph: Graph, layer: Any, arguments: Sequence[Any], shape: Shape) -> Value:
    value = graph.add("Cast", [arguments[0]], shape, to=TensorProto.FLOAT)
    scaled = graph.add("Mul", [value, _operand(layer.scale, shape)], shape)
    return graph.add("Add", [scaled, _operand(layer.offset, shape)], shape)


def _standardized(graph: Graph, layer: Any, arguments: Sequence[Any], shape: Shape) -> Value:
    deviation = np.maximum(np.sqrt(_array(layer.variance)), 1e-7).reshape(-1)
    mean = _operand(_array(layer.mean).reshape(-1), shape)
    centred = graph.add("Sub", [arguments[0], mean], shape)
    return graph.add("Div", [centred, _operand(deviation, shape)], shape)


def _concatenated(graph: Graph, layer: Any, arguments: Sequence[Any], shape: Shape) -> Value:
    values = arguments[0]
    return graph.add("Concat", values, shape, axis=axis_of(layer.axis, values[0]))


def _reshaped(graph: Graph, layer: Any, arguments: Sequence[Any], shape: Shape) -> Value:
    target = np.array([-1, *shape[1:]], np.int64)
    return graph.first(graph.node("Reshape", [graph.last(arguments[0]), target])[0], shape)


def _same(graph: Graph, layer: Any, arguments: Sequence[Any], shape: Shape) -> Value:
    value: Value = arguments[0]
    return value


def _elementwise(
    kind: str, graph: Graph, layer: Any, arguments: Sequence[Any], shape: Shape
) -> Value:
    return graph.add(kind, [arguments[0]], shape)


def _along(kind: str, graph: Graph, layer: Any, arguments: Sequence[Any], shape: Shape) -> Value:
    return graph.add(kind, [arguments[0]], shape, axis=axis_of(layer.axis, arguments[0]))


def _reduced(kind: str, graph: Graph, layer: Any, arguments: Sequence[Any], shape: Shape) -> Value:
    (value,) = arguments
    axes = layer.axis if isinstance(layer.axis, list | tuple) else [layer.axis]
    places = np.array([axis_of(axis, value) for axis in axes])
    if value.is_map and len(shape) == 3:
        raise UsageError("ONNX: a sum over one axis of a map cannot be written")
    return graph.add(kind, [value, places], shape, keepdims=int(layer.keepdims))


def _cast(graph: Graph, layer: Any, arguments: Sequence[Any], shape: Shape) -> Value:
    return graph.add("Cast", [arguments[0]], shape, to=_TYPES[layer.dtype])


def _flipped(graph: Graph, layer: Any, arguments: Sequence[Any], shape: Shape) -> Value:
    (value,) = arguments
    backwards = np.arange(int(shape[layer.axis] or 0))[::-1].astype(np.int64)
    return graph.add("Gather", [value, backwards], shape, axis=axis_of(layer.axis, value))


def _largest(graph: Graph, layer: Any, arguments: Sequence[Any], shape: Shape) -> list[Value]:
    names = graph.node("TopK", [arguments[0], np.array([layer.k])], 2)
    return [Value(name, shape) for name in names]


def _looked_up(graph: Graph, layer: Any, arguments: Sequence[Any], shape: Shape) -> Value:
    table, places = arguments[:2]
    return graph.add("Gather", [np.asarray(table, np.int64), places], shape)


def _one_hot(graph: Graph, layer: Any, arguments: Sequence[Any], shape: Shape) -> Value:
    depth, values = np.array(layer.num_classes), np.array([0, 1], np.float32)
    return graph.add("OneHot", [arguments[0], depth, values], shape)


_TYPES = {"float32": TensorProto.FLOAT, "float16": TensorProto.FLOAT16, "int32": TensorProto.INT32}
_ACTIVATIONS = {"relu": "Relu", "sigmoid": "Sigmoid", "tanh": "Tanh"}
_HANDLERS: dict[str, _Handler] = {
    "Activation": _activation,
    "ReLU": _relu,
    "Conv2D": _convolution,
    "DepthwiseConv2D": _depthwise,
    "SeparableConv2D": _separable,
    "Dense": _dense,
    "BatchNormalization": _batch_norm,
    "LayerNormalization": _layer_norm,
    "MaxPooling2D": partial(_pool, "MaxPool"),
    "AveragePooling2D": partial(_pool, "AveragePool"),
    "GlobalAveragePooling2D": partial(_global, "ReduceMean"),
    "GlobalMaxPooling2D": partial(_global, "ReduceMax"),
    "ZeroPadding2D": _zero_pad,
    "Cropping2D": _crop,
    "CustomScaleLayer": _scaled_sum,
    "LayerScale": _layer_scale,
    "Rescaling": _rescaling,
    "Normalization": _standardized,
    "Concatenate": _concatenated,
    "Reshape": _reshaped,
    "Flatten": _reshaped,
    "Dropout": _same,
    "StochasticDepth": _same,
    "Identity": _same,
    "Add": partial(_merged, "Add"),
    "Subtract": partial(_merged, "Sub"),
    "Multiply": partial(_merged, "Mul"),
    "Divide": partial(_merged, "Div"),
    "TrueDivide": partial(_merged, "Div"),
    "Maximum": partial(_merged, "Max"),
    "GreaterEqual": partial(_merged, "GreaterOrEqual"),
    "Sqrt": partial(_elementwise, "Sqrt"),
    "Exp": partial(_elementwise, "Exp"),
    "Log": partial(_elementwise, "Log"),
    "Absolute": partial(_elementwise, "Abs"),
    "Softmax": partial(_along, "Softmax"),
    "LogSoftmax": partial(_along, "LogSoftmax"),
    "Mean": partial(_reduced, "ReduceMean"),
    "Max": partial(_reduced, "ReduceMax"),
    "Sum": partial(_reduced, "ReduceSum"),
    "Cast": _cast,
    "Flip": _flipped,
    "TopK": _largest,
    "Take": _looked_up,
    "OneHot": _one_hot,
}
