"""The Keras network: built without weights, then tapped, with pixel scaling and pooling inside.

Only backend-independent operations of Keras are used, so that it runs on each of its backends.
"""

import functools
import math
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Any

import numpy as np

from features.backbones import alexnet
from features.backbones.catalog import (
    MAP_POOLINGS,
    Backbone,
    PixelScaling,
    check_image_size,
    check_layers,
)
from features.backbones.tops import TopWeights, attach
from features.errors import UsageError, unknown_name
from features.processes.quiet import keras_here

_REDUCTIONS = {"avg": ("mean",), "max": ("max",), "avgmax": ("mean", "max")}

# Values of weights other than kernels in a network of random weights. Those not named here (the
# scales of ConvNeXt's layers, the statistics of EfficientNet's normalization) keep the constants
# that Keras gave them.
_CONSTANTS = {"bias": 0.0, "beta": 0.0, "gamma": 1.0, "moving_mean": 0.0, "moving_variance": 1.0}


@dataclass(frozen=True)
class Step:
    """One operation of a network's graph, with its symbolic input and output tensors."""

    operation: Any
    inputs: tuple[Any, ...]
    output: Any


def build(backbone: Backbone, image_size: tuple[int, int]) -> Any:
    """Return the bare network, a keras.Model from scaled pixels to the map of the last layer.

    Args:
        backbone: an entry of the catalog.
        image_size: height and width of the images, in pixels.

    Returns:
        A model without top whose weights are yet to be loaded; its input is
        (batch, height, width, 3) and its output (batch, h, w, channels).

    Raises:
        UsageError: the images are smaller than the network accepts.
        MissingPackageError: Keras, or its backend, is not installed.
    """
    check_image_size(backbone, image_size)
    if not backbone.by_keras:
        return alexnet.build(image_size)
    keras = keras_here()
    builder = getattr(keras.applications, backbone.builder)
    return builder(include_top=False, weights=None, input_shape=(*image_size, 3))


def with_taps(
    base: Any,
    backbone: Backbone,
    layers: Sequence[str],
    pooling: str,
    scaling: PixelScaling,
    given_size: tuple[int, int] | None = None,
    top: TopWeights | None = None,
) -> Any:
    """Return a network from pixels to the pooled features of several layers, in one pass.

    Args:
        base: the bare network that `build` returned; its weights are shared, not copied.
        backbone: its entry in the catalog.
        layers: names of layers whose output is a map (height, width, channels), and of dense
            layers above the last map.
        pooling: a name from `catalog.MAP_POOLINGS`.
        scaling: the pixel scaling that the weights in `base` expect.
        given_size: height and width of the images where the network is to enlarge them itself;
            None where they come in the size that `base` takes.
        top: the weights of the dense layers, where any is tapped.

    Returns:
        A keras.Model that takes RGB uint8 pixels (batch, height, width, 3), refuses any other
        dtype, and returns {layer: float32}: (batch, c) for "avg" and "max", (batch, 2 c) for
        "avgmax", (batch, h * w * c) for "flatten", (batch, h, w, c) for "none"; (batch, features)
        of a dense layer with any pooling.

    Raises:
        UsageError: a layer or pooling does not exist, a layer is named twice, or a dense layer
            does not take images of that size.
    """
    outputs = taps(base, backbone, layers, pooling, top)
    return from_pixels(base, outputs, scaling, given_size, backbone.name)


def from_pixels(
    base: Any,
    outputs: dict[str, Any],
    scaling: PixelScaling,
    given_size: tuple[int, int] | None,
    name: str,
) -> Any:
    """Return a network from uint8 pixels to symbolic tensors of a network's graph.

    Args:
        base: a functional keras.Model that takes scaled pixels.
        outputs: tensors of its graph.
        scaling: as in `with_taps`.
        given_size: as in `with_taps`.
        name: what the network is called.
    """
    import keras

    tapped = keras.Model(base.input, outputs)
    height, width = base.input_shape[1:3]
    pixels = keras.Input((*(given_size or (height, width)), 3), dtype="uint8", name="pixels")
    return _pixel_network()(
        pixels, tapped(scaled(_resized(pixels, (height, width)), scaling)), name=name
    )


def taps(
    base: Any,
    backbone: Backbone,
    layers: Sequence[str],
    pooling: str,
    top: TopWeights | None = None,
) -> dict[str, Any]:
    """Return the pooled features of several layers as symbolic tensors of the network's graph.

    Arguments, shapes and errors are those of `with_taps`.
    """
    if pooling not in MAP_POOLINGS:
        raise unknown_name("pooling", pooling, list(MAP_POOLINGS))
    steps = list(walk(base))
    known = tappable(steps, backbone.output)
    _check_names(layers, backbone, known)
    check_layers(backbone, layers, base.input_shape[1:3])
    dense = [name for name in layers if name in backbone.dense]
    features = {
        name: _features(known[name], known[name] is steps[-1], pooling)
        for name in layers
        if name not in dense
    }
    if dense:
        assert top is not None  # noqa: S101 - whoever asks for a dense layer brings its weights
        below = "flatten" if backbone.top.flattens else "avg"
        vector, dtype = _features(steps[-1], True, below), steps[-1].output.dtype
        for name, output in attach(backbone, vector, dense, top, dtype):
            features[name] = _as_float32(output)
    return {name: features[name] for name in layers}


def _as_float32(tensor: Any) -> Any:
    from keras import ops

    return ops.cast(tensor, "float32")


def feature_shapes(network: Any) -> dict[str, tuple[int, ...]]:
    """Return the shape of one image's features by layer, for a network that `with_taps` made."""
    return {name: tuple(tensor.shape[1:]) for name, tensor in network.output.items()}


def walk(network: Any) -> Iterator[Step]:
    """Yield every operation in the order of the graph, inputs first.

    Of a Sequential within the network (ConvNeXt has some) the layers come first: they are called
    once more, one by one, on its input. The Sequential itself follows; its output equals that of
    its last layer.
    """
    import keras

    for operation in network.operations:
        inputs = tuple(keras.tree.flatten(operation.input))
        if isinstance(operation, keras.Sequential):
            for layer in operation.layers:
                yield Step(layer, inputs, output := layer(*inputs))
                inputs = (output,)
        yield Step(operation, inputs, operation.output)


def tappable(steps: Sequence[Step], output: str) -> dict[str, Step]:
    """Return the steps by name whose output is a map (height, width, channels).

    Where a layer has no name of its own, Keras numbers it by what the process built before, so
    that the same name is another layer next time: such layers are left out. The last step is
    called `output`.
    """
    maps = [step for step in steps if len(step.output.shape) == 4]
    named = {step.operation.name: step for step in maps if _is_named(step.operation)}
    return {**named, output: steps[-1]}


def _is_named(operation: Any) -> bool:
    """Return whether the name is the layer's own, not a number by Keras ("conv2d_7")."""
    stem = re.sub(r"_\d+$", "", operation.name).replace("_", "")
    return stem != type(operation).__name__.lower()


def _check_names(layers: Sequence[str], backbone: Backbone, taps: dict[str, Step]) -> None:
    if repeated := sorted({name for name in layers if list(layers).count(name) > 1}):
        raise UsageError(f"layer {', '.join(repeated)} is asked for twice; name each layer once")
    for name in layers:
        known = (*taps, *backbone.dense)
        if name not in known:  # there may be hundreds: suggest the nearest, else the recommended
            recommended = [*(layer for layer, _ in backbone.layers), *backbone.dense]
            near = get_close_matches(name, known, cutoff=0.5)
            raise unknown_name(f"layer of {backbone.name}", name, near or recommended)


def _resized(pixels: Any, size: tuple[int, int]) -> Any:
    """Return the pixels as float32 in the wanted size, whole numbers from 0 to 255.

    They are enlarged bilinearly with half-pixel centres, as Pillow does it. It is no way to make
    images smaller, which needs antialiasing.
    """
    from keras import ops

    pixels = _as_float32(pixels)
    if tuple(pixels.shape[1:3]) == tuple(size):
        return pixels
    return ops.round(ops.image.resize(pixels, size, interpolation="bilinear"))


def scaled(pixels: Any, scaling: PixelScaling) -> Any:
    """Return pixel * scale + offset with the channels in the scaling's order, all float32."""
    from keras import ops

    if scaling.order == "BGR":
        pixels = ops.flip(pixels, axis=-1)
    return pixels * _factor(scaling.scale) + _factor(scaling.offset)


def _factor(channels: tuple[float, float, float]) -> np.ndarray:
    """Return float32 numbers, one where all are equal: TensorFlow is slow to spread three."""
    values = np.array(channels, np.float32)
    return values[0] if (values == values[0]).all() else values


def _features(step: Step, is_last: bool, pooling: str) -> Any:
    """Return a step's output pooled, as float32.

    ConvNeXt ends in a layer normalization that its authors apply after pooling. Keras does the
    same with its own `pooling` option, and so does this function.
    """
    import keras
    from keras import ops

    norm = keras.layers.LayerNormalization
    moves = is_last and pooling in _REDUCTIONS and isinstance(step.operation, norm)
    tensor = _as_float32(step.inputs[0] if moves else step.output)  # (b, h, w, c)
    if pooling == "none":
        return tensor
    if pooling == "flatten":
        return ops.reshape(tensor, (-1, math.prod(tensor.shape[1:])))  # (b, h * w * c)
    reductions = [getattr(ops, name) for name in _REDUCTIONS[pooling]]
    pooled = [reduction(tensor, axis=(1, 2)) for reduction in reductions]  # each (b, c)
    if moves:
        pooled = [_as_float32(step.operation(values)) for values in pooled]
    return ops.concatenate(pooled, axis=-1)  # (b, c) or (b, 2 c)


@functools.cache
def _pixel_network() -> Any:
    """Return the class of models that accept uint8 alone; a function, as Keras is imported late."""
    import keras

    class PixelNetwork(keras.Model):
        """A functional model that refuses what Keras would cast to its input's dtype."""

        def __call__(self, pixels: Any, *args: Any, **kwargs: Any) -> Any:
            dtype = keras.backend.standardize_dtype(pixels.dtype)
            if dtype != "uint8":  # 0.5 would become 0, and -3 would become 253
                raise UsageError(
                    f"pixels are {dtype}, expected RGB uint8 from 0 to 255; the network scales "
                    "them itself"
                )
            return super().__call__(pixels, *args, **kwargs)

    return PixelNetwork


def randomize(network: Any, seed: int) -> None:
    """Set all weights to seeded random ones, the same on every backend and version of Keras.

    Kernels are drawn layer by layer from a normal distribution of variance 2 / fan-in (He et
    al. 2015, "Delving Deep into Rectifiers"); biases and batch statistics are set to have no
    effect.
    """
    rng = np.random.default_rng(seed)
    for layer in _leaves(network):
        for weight in layer.weights:
            if weight.name.endswith("kernel"):
                values = rng.standard_normal(weight.shape, np.float32)
                weight.assign(values * np.float32(math.sqrt(2 / _fan_in(layer, weight))))
            elif weight.name in _CONSTANTS:
                weight.assign(np.full(weight.shape, _CONSTANTS[weight.name], np.float32))


def _leaves(network: Any) -> Iterator[Any]:
    for layer in network.layers:
        yield from _leaves(layer) if hasattr(layer, "layers") else (layer,)


def _fan_in(layer: Any, kernel: Any) -> int:
    """Return the number of input values that each output value is a sum over."""
    import keras

    is_depthwise = kernel.name == "depthwise_kernel" or isinstance(
        layer, keras.layers.DepthwiseConv2D
    )
    return math.prod(kernel.shape[:2] if is_depthwise else kernel.shape[:-1])
