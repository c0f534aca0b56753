"""TensorFlow: the reference engine on CPUs, and the first choice on GPUs."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from features.backbones.network import feature_shapes
from features.engines.base import BatchShape, Compiled, Make, use_keras_on
from features.processes.quiet import quiet_import

tf = quiet_import("tensorflow")


def compile_network(
    make: Make, batch_shape: BatchShape, precision: str, cache: Path | None
) -> Compiled:
    """Trace scaling, network and pooling as one function; see `engines.compile_network`.

    Several GPUs take equal shares of every batch.
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
    """Return a function that splits a batch into shares and runs each by one of `functions`."""
    missing = share * len(functions) - batch_size  # images, for shares of equal size

    def forward(pixels: np.ndarray) -> dict[str, np.ndarray]:
        if missing:
            pixels = np.concatenate([pixels, pixels[:missing]])
        outputs = [
            function(tf.constant(pixels[number * share : (number + 1) * share]))
            for number, function in enumerate(functions)  # the GPUs run at the same time
        ]
        if len(outputs) == 1:
            return {name: outputs[0][name].numpy() for name in names}
        return {
            name: np.concatenate([output[name].numpy() for output in outputs])[:batch_size]
            for name in names
        }

    return forward


def concrete_function(network: Any, batch_shape: tuple[int | None, ...]) -> Any:
    """Return a tf.ConcreteFunction from uint8 pixels to {layer: float32}.

    The weights are captured tensors, read once and kept on the device. Were they constants in the
    graph, as `convert_variables_to_constants_v2` makes them, TensorFlow's constant folding would
    rewrite them and leave bfloat16 convolutions at two fifths of the rate. Without that pass
    constants run at the same rate as captured tensors.
    """
    trained = [tf.identity(variable.value) for variable in network.trainable_variables]
    fixed = [tf.identity(variable.value) for variable in network.non_trainable_variables]

    def run(pixels: Any) -> Any:
        return network.stateless_call(trained, fixed, pixels, training=False)[0]

    traced = tf.function(run, autograph=False)
    return traced.get_concrete_function(tf.TensorSpec(batch_shape, tf.uint8))
