"""TensorFlow: the reference engine, and one for GPUs."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from features.backbones.network import feature_shapes
from features.engines.base import BatchShape, Compiled, Make, use_keras_on
from features.quiet import quiet_import

tf = quiet_import("tensorflow")


def compile_network(
    make: Make, batch_shape: BatchShape, precision: str, cache: Path | None
) -> Compiled:
    """Trace scaling, network and pooling as one function; see `engines.compile_network`.

    Where there are several GPUs, each takes an equal part of every batch.
    """
    use_keras_on("tensorflow")
    network = make(precision)
    devices = tf.config.list_logical_devices("GPU") or tf.config.list_logical_devices("CPU")
    share = -(-batch_shape[0] // len(devices))
    functions = []
    for device in devices:
        with tf.device(device.name):
            functions.append(concrete_function(network, (share, *batch_shape[1:])))
    shapes = feature_shapes(network)
    return Compiled(shapes, _spread(functions, share, batch_shape[0], shapes))


def _spread(
    functions: list[Any], share: int, batch_size: int, names: Any
) -> Callable[[np.ndarray], dict[str, np.ndarray]]:
    """Return a function that runs each part of a batch by a function of its own."""
    missing = share * len(functions) - batch_size  # to equal parts

    def forward(pixels: np.ndarray) -> dict[str, np.ndarray]:
        if missing:
            pixels = np.concatenate([pixels, pixels[:missing]])
        parts = [
            function(tf.constant(pixels[place * share : (place + 1) * share]))
            for place, function in enumerate(functions)  # GPUs start at once, results come later
        ]
        if len(parts) == 1:
            return {name: parts[0][name].numpy() for name in names}
        return {
            name: np.concatenate([part[name].numpy() for part in parts])[:batch_size]
            for name in names
        }

    return forward


def concrete_function(network: Any, batch_shape: BatchShape) -> Any:
    """Return a tf.ConcreteFunction from uint8 pixels to {layer: float32}.

    The weights are captured tensors, read once and kept on the device. As constants within the
    graph, which is also what `convert_variables_to_constants_v2` makes of them, TensorFlow's
    constant folding gets at them and leaves bfloat16 convolutions at two fifths of the rate;
    without that pass they run at full rate, but nothing is gained over captured ones.
    """
    trained = [tf.identity(variable.value) for variable in network.trainable_variables]
    fixed = [tf.identity(variable.value) for variable in network.non_trainable_variables]

    def run(pixels: Any) -> Any:
        return network.stateless_call(trained, fixed, pixels, training=False)[0]

    traced = tf.function(run, autograph=False)
    return traced.get_concrete_function(tf.TensorSpec(batch_shape, tf.uint8))
