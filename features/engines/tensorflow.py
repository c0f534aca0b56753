"""The reference engine: scaling, network and pooling as one concrete TensorFlow function."""

from typing import Any

import numpy as np
import tensorflow as tf

from features.engines import Forward


def compile_network(network: Any, batch_shape: tuple[int, int, int, int]) -> Forward:
    """Trace the network for one batch shape; see `features.engines.compile_network`."""
    traced = tf.function(lambda pixels: network(pixels, training=False), autograph=False)
    concrete = traced.get_concrete_function(tf.TensorSpec(batch_shape, tf.uint8))

    def forward(pixels: np.ndarray) -> dict[str, np.ndarray]:
        return {name: values.numpy() for name, values in concrete(tf.constant(pixels)).items()}

    return forward
