"""An OpenVINO model of anybody's: which of its nodes are layers, and how they are tapped.

What the axes of a node's output mean is not written in a model. It is followed through the graph
from where it is known: OpenVINO's convolutions and poolings are channels-first by definition, a
product with a constant matrix has its channels last, transpositions are followed, and operations
that work value by value change nothing. A node whose axes stay unknown cannot be tapped.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from features.backbones.catalog import PixelScaling
from features.backbones.elsewhere import Tap, tap_name
from features.processes.quiet import import_without

_CHANNELS_FIRST = {
    "Convolution", "GroupConvolution", "ConvolutionBackpropData", "GroupConvolutionBackpropData",
    "MaxPool", "AvgPool", "AdaptiveAvgPool", "AdaptiveMaxPool", "BatchNormInference", "LRN",
}  # fmt: skip
_KEEPS_AXES = {
    "Abs", "Add", "Clamp", "Concat", "Convert", "Divide", "Elu", "Erf", "Exp", "FakeQuantize",
    "Gelu", "GroupNormalization", "HSigmoid", "HSwish", "HardSigmoid", "Interpolate", "MVN",
    "Maximum", "Minimum", "Mish", "Multiply", "NormalizeL2", "PRelu", "Pad", "Power", "ReduceMax",
    "ReduceMean", "Relu", "Selu", "Sigmoid", "Slice", "SoftPlus", "SoftSign", "Softmax", "Split",
    "Sqrt", "StridedSlice", "Subtract", "Swish", "Tanh", "VariadicSplit",
}  # fmt: skip
_CHANNELS_LAST = {2: "NC", 3: "NTC", 4: "NHWC"}  # by the number of axes
_KNOWN = ("NC", "NTC", "NCHW", "NHWC")
_FLOATS = ("f16", "bf16", "f32")
_LONGEST_NAME = 120  # a candidate's folder is named after backbone, layer and classifier


@dataclass(frozen=True)
class Layer:
    """A node that can be tapped: what is known of it, its name in the graph, and its axes."""

    tap: Tap
    node: str
    axes: str


def openvino() -> Any:
    """Return OpenVINO, which reports nothing to its makers."""
    return import_without("openvino_telemetry", "openvino")


def find_layers(model: Any, input_axes: str, batch_size: int, numbers_nodes: bool) -> list[Layer]:
    """Return the nodes that can be tapped, inputs first.

    Args:
        model: an openvino.Model of one input, reshaped to the batch size.
        input_axes: "NCHW" or "NHWC", those of its input.
        batch_size: the length of the first axis of all that belongs to images.
        numbers_nodes: whether a node without tensor names was named by OpenVINO, which numbers
            them by what it did before.
    """
    layers: dict[str, Layer] = {}
    for node, axes in _axes(model, input_axes).items():
        shape, name = node.output(0).get_partial_shape(), node.get_friendly_name()
        is_named = bool(node.output(0).get_names()) or not numbers_nodes
        if axes not in _KNOWN or not is_named or node.get_type_name() in ("Parameter", "Result"):
            continue
        if shape.is_dynamic or shape.to_shape()[0] != batch_size:
            continue
        if node.output(0).get_element_type().get_type_name() not in _FLOATS:
            continue
        sizes = dict(zip(axes, shape.to_shape(), strict=True))
        lengths = tuple(sizes[axis] for axis in axes_of_tap(axes))
        tap = Tap(tap_name(name), lengths, name, axes == "NTC")
        if tap.name and len(tap.name) <= _LONGEST_NAME and 0 not in tap.shape:
            layers.setdefault(tap.name, Layer(tap, name, axes))
    return list(layers.values())


def axes_of_tap(axes: str) -> str:
    """Return the axes of one image's output, channels last."""
    return {"NCHW": "HWC", "NHWC": "HWC"}.get(axes, axes.removeprefix("N"))


def default_layer(layers: Sequence[Layer]) -> Layer:
    """Return the last layer with more than one position, else the last one."""
    spread = [layer for layer in layers if int(np.prod(layer.tap.shape[:-1])) > 1]
    return (spread or list(layers))[-1]


def tapped(
    model: Any, input_axes: str, layers: Sequence[Layer], pooling: str, scaling: PixelScaling,
    batch_shape: tuple[int, int, int, int],
) -> Any:  # fmt: skip
    """Return an openvino.Model from uint8 pixels (batch, h, w, 3) to float32 features by layer.

    Args:
        model: an openvino.Model of one input, reshaped to the batch; it is changed.
        input_axes: "NCHW" or "NHWC", those of its input.
        layers: some that `find_layers` found in it.
        pooling: a name from `catalog.POOLINGS`.
        scaling: the pixel scaling that it expects.
        batch_shape: the shape of the pixels.
    """
    ov = openvino()
    ops = ov.opset13
    old = model.get_parameters()[0]
    pixels = ops.parameter(list(batch_shape), np.uint8, name="pixels")
    values = _scaled(ops, pixels, scaling)
    if input_axes == "NCHW":
        values = ops.transpose(values, np.array([0, 3, 1, 2], np.int64))
    values = ops.convert(values, old.get_element_type().get_type_name())
    for reader in old.output(0).get_target_inputs():
        reader.replace_source_output(values.output(0))
    nodes = {node.get_friendly_name(): node for node in model.get_ordered_ops()}
    outputs = [
        _pooled(ops, ops.convert(nodes[layer.node].output(0), "f32"), layer.axes, pooling)
        for layer in layers
    ]
    result = ov.Model([ops.result(output) for output in outputs], [pixels], "network")
    for port, layer in zip(result.outputs, layers, strict=True):
        port.get_tensor().set_names({layer.tap.name})
    return result


def _scaled(ops: Any, pixels: Any, scaling: PixelScaling) -> Any:
    values = ops.convert(pixels, "f32")
    if scaling.order == "BGR":
        values = ops.gather(values, np.array([2, 1, 0], np.int64), np.int64(3))
    if scaling.scale != (1.0, 1.0, 1.0):
        values = ops.multiply(values, np.array(scaling.scale, np.float32).reshape(1, 1, 1, 3))
    if scaling.offset != (0.0, 0.0, 0.0):
        values = ops.add(values, np.array(scaling.offset, np.float32).reshape(1, 1, 1, 3))
    return values


def _pooled(ops: Any, values: Any, axes: str, pooling: str) -> Any:
    """Return a layer's values pooled; a vector stays as it is."""
    if axes == "NC":
        return values
    if pooling == "token":
        return ops.gather(values, np.int64(0), np.int64(1))  # (b, c)
    if pooling in ("none", "flatten"):
        if axes == "NCHW":
            values = ops.transpose(values, np.array([0, 2, 3, 1], np.int64))
        _, *shape = values.output(0).get_shape()
        shape = [1, *shape][-3:] if pooling == "none" else [int(np.prod(shape))]
        # The zero keeps the number of images, which a packed network may be given another of.
        return ops.reshape(values, np.array([0, *shape], np.int64), special_zero=True)
    positions = np.array([place for place, axis in enumerate(axes) if axis in "THW"], np.int64)
    reductions = {"avg": [ops.reduce_mean], "max": [ops.reduce_max],
                  "avgmax": [ops.reduce_mean, ops.reduce_max]}[pooling]  # fmt: skip
    pooled = [reduction(values, positions) for reduction in reductions]  # each (b, c)
    return pooled[0] if len(pooled) == 1 else ops.concat(pooled, 1)


def _axes(model: Any, input_axes: str) -> dict[Any, str]:
    """Return what the axes of each node's outputs mean that depends on the image, "" if unknown.

    The keys are the nodes in their order, inputs first.
    """
    found: dict[str, str] = {}  # by the name that no other node of the model has
    constant: set[str] = set()
    result = {}
    for node in model.get_ordered_ops():
        sources = [port.get_source_output().get_node() for port in node.inputs()]
        kind, name = node.get_type_name(), node.get_name()
        if kind == "Constant" or (sources and all(s.get_name() in constant for s in sources)):
            constant.add(name)
        elif kind == "Parameter":
            found[name] = input_axes
        elif any(source.get_name() in found for source in sources):
            rank = node.output(0).get_partial_shape().rank
            length = rank.get_length() if rank.is_static else 0
            above = [found.get(source.get_name(), "") for source in sources]
            found[name] = _axes_of(node, kind, length, above, sources, constant)
        if name in found:
            result[node] = found[name]
    return result


def _axes_of(
    node: Any, kind: str, rank: int, above: list[str], sources: list[Any], constant: set[str]
) -> str:
    if kind in _CHANNELS_FIRST:
        return "NCHW" if rank == 4 else ""
    if kind == "MatMul" and sources[1].get_name() in constant:
        return "" if node.get_attributes().get("transpose_a") else _CHANNELS_LAST.get(rank, "")
    if kind == "Transpose" and above[0] and (places := _numbers(sources[1])):
        return "".join(above[0][place] for place in places)
    known = next((axes for axes in above if len(axes) == rank), "")
    if kind in _KEEPS_AXES and known:
        return known
    if kind == "MVN" and _numbers(sources[1]) in ([-1], [rank - 1]):
        return _CHANNELS_LAST.get(rank, "")
    return "NC" if rank == 2 else ""


def _numbers(node: Any) -> list[int]:
    """Return the values of a constant, none of any other node."""
    return node.data.flatten().tolist() if node.get_type_name() == "Constant" else []


def reason(error: Exception) -> str:
    """Return what an error of OpenVINO says, in one line, without where it was raised."""
    lines = [line.strip() for line in str(error).splitlines()]
    said = [line for line in lines if line and not re.match(r"Exception from |Check '", line)]
    return " ".join(said)[:200] or "OpenVINO cannot read it"
