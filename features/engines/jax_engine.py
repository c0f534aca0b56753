"""JAX: the same Keras network under jax.jit; for GPUs, and where there is no TensorFlow."""

from pathlib import Path

import jax
import numpy as np

from features.engines import Compiled, Make, use_keras_on


def compile_network(
    make: Make, batch_shape: tuple[int, ...], precision: str, cache: Path | None
) -> Compiled:
    """Compile scaling, network and pooling by XLA; see `engines.compile_network`."""
    use_keras_on("jax")
    network = make(precision)
    trained = [variable.value for variable in network.trainable_variables]
    fixed = [variable.value for variable in network.non_trainable_variables]

    def run(trained: list, fixed: list, pixels: jax.Array) -> dict[str, jax.Array]:
        return network.stateless_call(trained, fixed, pixels, training=False)[0]

    pixels = jax.ShapeDtypeStruct(batch_shape, np.uint8)
    compiled = jax.jit(run).lower(trained, fixed, pixels).compile()

    def forward(pixels: np.ndarray) -> dict[str, np.ndarray]:
        outputs = compiled(trained, fixed, jax.numpy.asarray(pixels))
        return {name: np.asarray(values) for name, values in outputs.items()}

    return Compiled({name: tuple(x.shape[1:]) for name, x in network.output.items()}, forward)
