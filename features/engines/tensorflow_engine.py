"""TensorFlow: the reference engine, and one for GPUs."""

from pathlib import Path
from typing import Any

import numpy as np

from features.engines import Compiled, Make, use_keras_on
from features.quiet import quiet_import

tf = quiet_import("tensorflow")


def compile_network(
    make: Make, batch_shape: tuple[int, ...], precision: str, cache: Path | None
) -> Compiled:
    """Trace scaling, network and pooling as one function; see `engines.compile_network`."""
    use_keras_on("tensorflow")
    network = make(precision)
    concrete = concrete_function(network, batch_shape)

    def forward(pixels: np.ndarray) -> dict[str, np.ndarray]:
        return {name: values.numpy() for name, values in concrete(tf.constant(pixels)).items()}

    return Compiled({name: tuple(x.shape[1:]) for name, x in network.output.items()}, forward)


def concrete_function(network: Any, batch_shape: tuple[int, ...]) -> Any:
    """Return a tf.ConcreteFunction from uint8 pixels to {layer: float32}, weights as constants.

    Constants let TensorFlow lay out and fuse once what it would read from variables at each call.
    Tracing with them keeps the operations as they are; `convert_variables_to_constants_v2`
    rewrites the finished graph instead, after which convolutions run at a third of the rate.
    """
    trained = [tf.constant(variable.value) for variable in network.trainable_variables]
    fixed = [tf.constant(variable.value) for variable in network.non_trainable_variables]

    def run(pixels: Any) -> Any:
        return network.stateless_call(trained, fixed, pixels, training=False)[0]

    traced = tf.function(run, autograph=False)
    return traced.get_concrete_function(tf.TensorSpec(batch_shape, tf.uint8))
