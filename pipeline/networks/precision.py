"""In which numbers a network is trained: chosen by hardware, set while it is built."""

from collections.abc import Iterator
from contextlib import contextmanager

from features.engines.hardware import gpu_names

AUTO, FLOAT32, BFLOAT16 = "auto", "float32", "mixed_bfloat16"
PRECISIONS = (AUTO, FLOAT32, BFLOAT16)


def choose(precision: str) -> str:
    """Return the Keras dtype policy."""
    if precision != AUTO:
        return precision
    return BFLOAT16 if gpu_names() else FLOAT32


@contextmanager
def policy(precision: str) -> Iterator[None]:
    """Let layers that are built meanwhile compute in a precision; weights stay float32."""
    import keras

    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy(precision)
    try:
        yield
    finally:
        keras.config.set_dtype_policy(before)
