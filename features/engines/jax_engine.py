"""JAX: the Keras network compiled by jax.jit, for GPUs and where TensorFlow is not installed."""

from pathlib import Path

import jax
import numpy as np

from features.backbones.network import feature_shapes
from features.engines.base import BatchShape, Compiled, Make, use_keras_on


def compile_network(
    make: Make, batch_shape: BatchShape, precision: str, cache: Path | None
) -> Compiled:
    """Compile scaling, network and pooling by XLA; see `engines.compile_network`.

    Several devices take equal shares of every batch, if the batch size can be divided.
    """
    use_keras_on("jax")
    network = make(precision)
    devices = jax.devices() if batch_shape[0] % jax.device_count() == 0 else jax.devices()[:1]
    mesh = jax.sharding.Mesh(devices, ("images",))
    everywhere, by_image = (
        jax.sharding.NamedSharding(mesh, jax.sharding.PartitionSpec(*axes))
        for axes in ((), ("images",))
    )
    trained = jax.device_put([v.value for v in network.trainable_variables], everywhere)
    fixed = jax.device_put([v.value for v in network.non_trainable_variables], everywhere)

    def run(trained: list, fixed: list, pixels: jax.Array) -> dict[str, jax.Array]:
        return network.stateless_call(trained, fixed, pixels, training=False)[0]

    pixels = jax.ShapeDtypeStruct(batch_shape, np.uint8, sharding=by_image)
    compiled = jax.jit(run).lower(trained, fixed, pixels).compile()

    def forward(pixels: np.ndarray) -> dict[str, np.ndarray]:
        outputs = compiled(trained, fixed, jax.device_put(pixels, by_image))
        return {name: np.asarray(values) for name, values in outputs.items()}

    return Compiled(feature_shapes(network), forward)
