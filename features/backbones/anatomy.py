"""What each layer of a backbone gives and costs: shape, receptive field, parameters, MACs."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from features.backbones.catalog import Backbone
from features.backbones.network import Step, build, tappable, walk


@dataclass(frozen=True)
class LayerFacts:
    """One layer that can be tapped, at one size of the input.

    Attributes:
        name: of the layer.
        shape: height, width and channels of its output for one image.
        receptive_field: side of the square of input pixels that one output value depends on, as
            if the image had no border; None where it is the whole image.
        parameters: weights of all layers it depends on, its own among them.
        macs: multiplications with kernel weights for one image, up to and including this layer;
            padding counts like pixels.
    """

    name: str
    shape: tuple[int, int, int]
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
    """What an output value sees: pixels on either axis, and the pixels between neighbours."""

    sides: tuple[int, int] = (1, 1)
    strides: tuple[int, int] = (1, 1)


_WHOLE_IMAGE = None


def anatomy(
    backbone: Backbone, image_size: tuple[int, int] | None = None, worth: bool = False
) -> list[LayerFacts]:
    """Return the facts of a backbone's layers, shallow to deep.

    Args:
        backbone: an entry of the catalog.
        image_size: height and width in pixels, None for the backbone's own.
        worth: only the layers in the catalog, else all that can be tapped.

    Raises:
        UsageError: the image size is below the network's minimum.
    """
    network = build(backbone, image_size or (backbone.size, backbone.size))
    facts = measure(network, backbone.output)
    wanted = {name for name, _ in backbone.layers}
    return [layer for layer in facts if layer.name in wanted or not worth]


def measure(network: Any, output: str) -> list[LayerFacts]:
    """Return the facts of every tappable layer of a functional model; the last is `output`."""
    steps = list(walk(network))
    positions = {id(step.output): number for number, step in enumerate(steps)}
    parents = [[positions[id(tensor)] for tensor in step.inputs] for step in steps]
    fields = _receptive_fields(steps, parents)
    depends = _dependencies(parents)
    parameters = depends @ np.array([_parameters(step) for step in steps])
    macs = depends @ np.array([_macs(step) for step in steps])
    facts = []
    for name, step in tappable(steps, output).items():
        at, field = positions[id(step.output)], fields[positions[id(step.output)]]
        side = _WHOLE_IMAGE if field is _WHOLE_IMAGE else max(field.sides)
        shape = tuple(step.output.shape[1:])
        facts.append(LayerFacts(name, shape, side, int(parameters[at]), int(macs[at])))
    return facts


def _dependencies(parents: Sequence[Sequence[int]]) -> np.ndarray:
    """Return what each step depends on, itself included: bool (steps, steps)."""
    depends = np.eye(len(parents), dtype=bool)
    for row, above in zip(depends, parents, strict=True):
        row |= depends[list(above)].any(axis=0)
    return depends


def _receptive_fields(
    steps: Sequence[Step], parents: Sequence[Sequence[int]]
) -> list[_Field | None]:
    """Follow the widest path to each step (Araujo, Norris and Sim 2019, Distill).

    "Computing Receptive Fields of Convolutional Neural Networks": a window of k values, s apart
    in the input, adds (k - 1) * s pixels, whatever the padding.
    """
    fields: list[_Field | None] = []
    for step, above in zip(steps, parents, strict=True):
        fields.append(_widened(_merged([fields[parent] for parent in above]), step.operation))
    return fields


def _merged(fields: Sequence[_Field | None]) -> _Field | None:
    known = [field for field in fields if field is not _WHOLE_IMAGE]
    if len(known) < len(fields):
        return _WHOLE_IMAGE
    if not known:  # the input itself
        return _Field()
    sides = (max(field.sides[axis] for field in known) for axis in (0, 1))
    strides = (max(field.strides[axis] for field in known) for axis in (0, 1))
    return _Field((next(sides), next(sides)), (next(strides), next(strides)))


def _widened(field: _Field | None, operation: Any) -> _Field | None:
    if field is _WHOLE_IMAGE or type(operation).__name__.startswith("Global"):
        return _WHOLE_IMAGE
    windows, steps, dilations = _window(operation)
    sides, strides = zip(
        *(
            (side + (window - 1) * dilation * stride, stride * step)
            for side, stride, window, step, dilation in zip(
                field.sides, field.strides, windows, steps, dilations, strict=True
            )
        ),
        strict=True,
    )
    return _Field(sides, strides)


def _window(operation: Any) -> tuple[tuple[int, int], tuple[int, int], tuple[int, int]]:
    """Return size, stride and dilation, on both axes, of the window an operation slides."""
    one = (1, 1)
    size = getattr(operation, "kernel_size", None) or getattr(operation, "pool_size", one)
    stride = getattr(operation, "strides", one)
    return size, stride, getattr(operation, "dilation_rate", one)


def _parameters(step: Step) -> int:
    return sum(math.prod(weight.shape) for weight in _weights(step))


def _macs(step: Step) -> int:
    """Every kernel weight is used once per output position, grouped or depthwise or neither."""
    positions = math.prod(step.output.shape[1:-1])
    kernels = (weight for weight in _weights(step) if weight.name.endswith("kernel"))
    return positions * sum(math.prod(kernel.shape) for kernel in kernels)


def _weights(step: Step) -> list[Any]:
    """Return an operation's own weights; those of a Sequential belong to its layers' steps."""
    if hasattr(step.operation, "layers"):
        return []
    return getattr(step.operation, "weights", [])
