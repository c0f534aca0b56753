"""What Keras runs on."""

from features.quiet import keras_here


def compiles() -> bool:
    """Tell whether XLA compiles: JAX needs it; on CPUs TensorFlow's own kernels are faster."""
    return str(keras_here().backend.backend()) == "jax"
