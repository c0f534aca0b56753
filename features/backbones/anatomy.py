"""Facts about each layer of a backbone: shape, receptive field, parameters, MACs."""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from features.backbones.catalog import Backbone
from features.backbones.network import Step, build, tappable, walk


@dataclass(frozen=True)
class LayerFacts:
    """One layer that can be tapped, at one input size.

    Attributes:
        name: the name of the layer.
        shape: height, width and channels of its output for one image; of a dense layer the number
            of its features alone.
        receptive_field: side of the square of input pixels that one output value depends on, as
            if the image had no border; None where it depends on the whole image.
        parameters: number of weights in this layer and in all layers that it depends on.
        macs: multiply-accumulate operations for one image in this layer and in all layers that it
            depends on; padding counts like pixels.
    """

    name: str
    shape: tuple[int, ...]
    receptive_field: int | None
    parameters: int
    macs: int

    @property
    def pooled(self) -> int:
        """Number of features with average or maximum pooling."""
        return self.shape[-1]

    @property
    def flattened(self) -> int:
        """Number of features without pooling."""
        return math.prod(self.shape)


@dataclass(frozen=True)
class _Field:
    """The receptive field of one output value on both axes, in input pixels.

    `side` is its width, `step` the distance to the field of the next output value: int64 (2,).
    """

    side: np.ndarray
    step: np.ndarray


def anatomy(
    backbone: Backbone, image_size: tuple[int, int] | None = None, recommended_only: bool = False
) -> list[LayerFacts]:
    """Return the facts of a backbone's layers, shallow to deep.

    Dense layers are left out where they cannot take images of that size.

    Args:
        backbone: an entry of the catalog.
        image_size: height and width in pixels; None takes the backbone's own.
        recommended_only: return only the layers in the catalog, else all that can be tapped.

    Raises:
        UsageError: the image size is below the network's minimum.
    """
    network = build(backbone, image_size or (backbone.size, backbone.size))
    facts = measure(network, backbone.output)
    recommended = {name for name, _ in backbone.layers}
    maps = [layer for layer in facts if layer.name in recommended or not recommended_only]
    return [*maps, *_dense(backbone, facts[-1], network.input_shape[1:3])]


def _dense(
    backbone: Backbone, last: LayerFacts, image_size: tuple[int, int]
) -> Iterator[LayerFacts]:
    """Yield the facts of the dense layers above the last map."""
    top = backbone.top
    if top.flattens and image_size != (backbone.size, backbone.size):
        return
    inputs, parameters, macs = (
        last.flattened if top.flattens else last.pooled, last.parameters, last.macs,
    )  # fmt: skip
    for name, features in top.layers:
        parameters, macs = parameters + (inputs + 1) * features, macs + inputs * features
        yield LayerFacts(name, (features,), None, parameters, macs)
        inputs = features


def measure(network: Any, output: str) -> list[LayerFacts]:
    """Return the facts of every tappable layer of a functional model; the last is `output`."""
    steps = list(walk(network))
    positions = {id(step.output): number for number, step in enumerate(steps)}
    parents = [[positions[id(tensor)] for tensor in step.inputs] for step in steps]
    fields = _receptive_fields(steps, parents)
    depends = _dependencies(parents)
    parameters = depends @ np.array([_parameters(step) for step in steps])
    macs = depends @ np.array([_macs(step) for step in steps])

    def facts(name: str, step: Step) -> LayerFacts:
        position = positions[id(step.output)]
        field, shape = fields[position], tuple(step.output.shape[1:])
        side = None if field is None else int(field.side.max())
        return LayerFacts(name, shape, side, int(parameters[position]), int(macs[position]))

    return [facts(name, step) for name, step in tappable(steps, output).items()]


def _dependencies(parents: Sequence[Sequence[int]]) -> np.ndarray:
    """Return which steps each step depends on, itself included: bool (steps, steps)."""
    depends = np.eye(len(parents), dtype=bool)
    for row, above in zip(depends, parents, strict=True):
        row |= depends[list(above)].any(axis=0)
    return depends


def _receptive_fields(
    steps: Sequence[Step], parents: Sequence[Sequence[int]]
) -> list[_Field | None]:
    """Return the field of each step along its widest path, None where it sees the whole image.

    Araujo, Norris and Sim 2019, "Computing Receptive Fields of Convolutional Neural Networks",
    Distill: a window of k values that lie s pixels apart adds (k - 1) * s pixels, whatever the
    padding.
    """
    fields: list[_Field | None] = []
    for step, above in zip(steps, parents, strict=True):
        merged = _merged([fields[parent] for parent in above])
        fields.append(_widened(merged, step.operation))
    return fields


def _merged(fields: Sequence[_Field | None]) -> _Field | None:
    if not fields:  # the input itself
        return _Field(np.ones(2, np.int64), np.ones(2, np.int64))
    known = [field for field in fields if field is not None]
    if len(known) < len(fields):
        return None
    return _Field(
        np.max([field.side for field in known], axis=0),
        np.max([field.step for field in known], axis=0),
    )


def _widened(field: _Field | None, operation: Any) -> _Field | None:
    """Return the field of an operation's output from that of its input."""
    import keras

    everywhere = (keras.layers.GlobalAveragePooling2D, keras.layers.GlobalMaxPooling2D)
    if field is None or isinstance(operation, everywhere):
        return None
    window = getattr(operation, "kernel_size", getattr(operation, "pool_size", (1, 1)))
    dilation = getattr(operation, "dilation_rate", (1, 1))
    stride = getattr(operation, "strides", (1, 1))
    side = field.side + (np.array(window) - 1) * np.array(dilation) * field.step
    return _Field(side, field.step * np.array(stride))


def _parameters(step: Step) -> int:
    return sum(math.prod(weight.shape) for weight in _weights(step))


def _macs(step: Step) -> int:
    """Return the operation's own MACs for one image.

    Every kernel weight is used once at each output position, also in grouped and depthwise
    convolutions.
    """
    positions = math.prod(step.output.shape[1:-1])
    kernels = (weight for weight in _weights(step) if weight.name.endswith("kernel"))
    return positions * sum(math.prod(kernel.shape) for kernel in kernels)


def _weights(step: Step) -> list[Any]:
    """Return an operation's own weights; those of a Sequential belong to its layers' steps."""
    if hasattr(step.operation, "layers"):
        return []
    return getattr(step.operation, "weights", [])
