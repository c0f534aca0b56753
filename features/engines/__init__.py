"""How a network runs forward: a small interface, and the choice among the engines behind it.

An engine is a module with one function, `compile_network(make, batch_shape, precision, cache)`;
it imports its library when it is imported itself.
"""

from collections.abc import Callable
from dataclasses import dataclass
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np

from features.config import AUTO, ENGINES, PRECISIONS
from features.engines.hardware import cpu_has_bfloat16, gpu_names, is_x86
from features.errors import MissingPackageError, UsageError, unknown_name

REFERENCE = "float32"

# Makes the Keras network, uint8 pixels to {layer: float32 features}, with weights of a precision.
Make = Callable[[str], Any]


@dataclass(frozen=True)
class Choice:
    """An engine and a precision, why they were chosen, and whether a GPU will do the work."""

    engine: str
    precision: str
    reason: str
    on_gpu: bool = False


@dataclass(frozen=True)
class Compiled:
    """A network ready to run.

    Attributes:
        shapes: the shape of one image's features by layer.
        forward: takes uint8 pixels of shape (batch size, height, width, 3), returns {layer:
            float32 (batch size, *shape)}; the arrays are the caller's own.
    """

    shapes: dict[str, tuple[int, ...]]
    forward: Callable[[np.ndarray], dict[str, np.ndarray]]


def choose(engine: str = AUTO, precision: str = AUTO) -> Choice:
    """Return what runs fastest here, within what the user has fixed.

    Args:
        engine: a name from `ENGINES`, or "auto": on a GPU TensorFlow or JAX, else OpenVINO on
            x86-64, else TensorFlow or JAX, whichever is installed first in that order.
        precision: a name from `PRECISIONS`, or "auto": bfloat16 on GPUs and on CPUs that compute
            in it, float32 elsewhere.

    Raises:
        UsageError: a name that is not known.
        MissingPackageError: the engine is not installed.
    """
    for kind, name, known in (("engine", engine, ENGINES), ("precision", precision, PRECISIONS)):
        if name not in (AUTO, *known):
            raise unknown_name(kind, name, [AUTO, *known])
    gpus = gpu_names()
    place = f"a GPU ({gpus[0]})" if gpus else "a CPU"
    if engine == AUTO:
        engine, why = _fastest(bool(gpus)), f"the fastest that is installed for {place}"
    else:
        why = "asked for"
    if find_spec(engine) is None:
        raise MissingPackageError(f"{engine} is not installed; `pip install {engine}` brings it")
    on_gpu = bool(gpus) and engine != "openvino"  # which runs on the CPU in any case
    if precision == AUTO:
        fast = _is_fast_in_bfloat16(engine, on_gpu)
        precision = "bfloat16" if fast else REFERENCE
        why += f"; bfloat16 is {'fast' if fast else 'not fast'} there"
    return Choice(engine, precision, why, on_gpu)


def reference() -> Choice:
    """Return float32 on the engine whose numbers are nearest to Keras' own."""
    for engine in ("tensorflow", "jax", "openvino"):
        if find_spec(engine) is not None:
            return Choice(engine, REFERENCE, "the reference")
    raise MissingPackageError("no engine is installed; `pip install tensorflow` brings one")


def compile_network(
    choice: Choice, make: Make, batch_shape: tuple[int, int, int, int], cache: Path | None = None
) -> Compiled:
    """Make a network ready to run.

    Args:
        choice: what `choose` returned.
        make: makes the Keras network; not called where the engine finds its own form in `cache`.
        batch_shape: (batch size, height, width, 3), the only shape it will take.
        cache: folder of this very network, for an engine that keeps a converted form; None keeps
            nothing.

    Raises:
        UsageError: Keras is already running on a backend that this engine cannot use.
    """
    module = import_module(f"features.engines.{choice.engine}_engine")
    return module.compile_network(make, batch_shape, choice.precision, cache)


def use_keras_on(backend: str) -> None:
    """See to it that Keras runs on `backend`; raise UsageError where it already runs on another."""
    import os
    import sys

    if "keras" not in sys.modules:
        os.environ["KERAS_BACKEND"] = backend
        return
    running = sys.modules["keras"].config.backend()
    if running != backend:
        raise UsageError(
            f"Keras already runs on {running} in this process, and this engine needs {backend}: "
            "start a new process"
        )


def _is_fast_in_bfloat16(engine: str, on_gpu: bool) -> bool:
    return on_gpu or (cpu_has_bfloat16() and engine != "jax")  # XLA emulates it on CPUs


def _fastest(on_gpu: bool) -> str:
    order = ["tensorflow", "jax"]
    if is_x86() and not on_gpu:
        order.insert(0, "openvino")
    return next((engine for engine in order if find_spec(engine) is not None), "tensorflow")
