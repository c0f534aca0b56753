"""The dense layers above a network's last map: VGG's `fc1` and `fc2`, and everyone's `logits`.

Keras builds some of them as convolutions of one pixel, and ends all of them in a softmax. Here they
are dense layers on the vector that the map gives, and end in the logits.
"""

import io
import math
from collections.abc import Collection, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from features.backbones.catalog import LOGITS, Backbone
from features.errors import DataError
from features.processes.quiet import keras_here

# By layer, from the map upwards: kernel (inputs, features) and bias (features,), float32.
TopWeights = dict[str, tuple[np.ndarray, np.ndarray]]

_STREAM = 1  # of random numbers, so that those of the network below are drawn as without a top


def whole_network(backbone: Backbone) -> Any:
    """Return the network with its top as keras.applications builds it, at its own size.

    Its weights are yet to be loaded, and its output is probabilities.
    """
    builder = getattr(keras_here().applications, backbone.builder)
    size = (backbone.size, backbone.size, 3)
    return builder(weights=None, include_top=True, input_shape=size)


def split(backbone: Backbone, arrays: Sequence[np.ndarray]) -> TopWeights:
    """Return the top from what a network with it has beyond the network without.

    Args:
        backbone: an entry of the catalog.
        arrays: kernel and bias of each dense layer, from the map upwards; a kernel may be that of
            a convolution of one pixel.

    Raises:
        DataError: these are not the arrays of this network's top.
    """
    top: TopWeights = {}
    for number, (name, features) in enumerate(backbone.top.layers):
        kernel, bias = arrays[2 * number : 2 * number + 2]
        if kernel.shape[-1] != features or bias.shape != (features,):
            raise DataError(
                f"{name} of {backbone.name} has {kernel.shape[-1]} features there, "
                f"expected {features}"
            )
        top[name] = (kernel.reshape(-1, features), bias)
    return top


def draw(backbone: Backbone, inputs: int, seed: int) -> TopWeights:
    """Return seeded random weights, as `network.randomize` draws those of a network.

    Args:
        backbone: an entry of the catalog.
        inputs: the length of the vector that the lowest layer takes.
        seed: their seed.
    """
    rng = np.random.default_rng([seed, _STREAM])
    top: TopWeights = {}
    for name, features in backbone.top.layers:
        kernel = rng.standard_normal((inputs, features), np.float32)
        top[name] = (kernel * np.float32(math.sqrt(2 / inputs)), np.zeros(features, np.float32))
        inputs = features
    return top


def save(top: TopWeights, file: io.RawIOBase) -> None:
    """Write a top as an `.npz` file; the logits have the names of Offshelf 0.2."""
    arrays = {
        f"{_prefix(name)}{kind}": array
        for name, pair in top.items()
        for kind, array in zip(("kernel", "bias"), pair, strict=True)
    }
    np.savez(file, **arrays)  # type: ignore[arg-type]  # names are those of arrays, files are files


def read(backbone: Backbone, path: Path) -> TopWeights:
    """Read what `save` wrote; raises DataError where it is something else."""
    try:
        with np.load(path, allow_pickle=False) as arrays:
            return {
                name: (arrays[f"{_prefix(name)}kernel"], arrays[f"{_prefix(name)}bias"])
                for name in backbone.dense
            }
    except (OSError, ValueError, KeyError, EOFError) as error:
        raise DataError(f"{path} does not hold the top of {backbone.name}: {error}") from None


def _prefix(name: str) -> str:
    return "" if name == LOGITS else f"{name}."


def attach(
    backbone: Backbone, vector: Any, wanted: Collection[str], top: TopWeights, dtype: str
) -> Iterator[tuple[str, Any]]:
    """Yield name and output of each wanted dense layer on a vector, symbolic tensors.

    Args:
        backbone: an entry of the catalog.
        vector: what the last map gives, (batch, inputs).
        wanted: names from `backbone.dense`; layers above the uppermost of them are not built.
        top: the weights.
        dtype: dtype of weights and operations, such as "bfloat16".
    """
    import keras

    left = len([name for name in backbone.dense if name in wanted])
    for name, features in backbone.top.layers:
        if not left:
            return
        activation = None if name == LOGITS else backbone.top.activation
        layer = keras.layers.Dense(features, activation, name=name, dtype=dtype)
        vector = layer(vector)
        layer.set_weights(top[name])
        if name in wanted:
            left -= 1
            yield name, vector
