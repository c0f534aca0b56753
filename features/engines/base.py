"""What every engine shares: its interface, and the Keras backend that it needs.

An engine is a module `<name>_engine` with one function, `compile_network(make, batch_shape,
precision, cache)`; it imports its library at its top, and is itself imported only when used.
"""

import os
import sys
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from features.errors import UsageError

# Makes the Keras network, from uint8 pixels to {layer: float32 features}, in a given precision.
Make = Callable[[str], Any]
BatchShape = tuple[int, int, int, int]  # batch size, height, width, 3


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


def use_keras_on(backend: str) -> None:
    """See to it that Keras runs on `backend`; raise UsageError where it already runs on another."""
    if "keras" not in sys.modules:
        os.environ["KERAS_BACKEND"] = backend
        return
    running = sys.modules["keras"].config.backend()
    if running != backend:
        raise UsageError(
            f"Keras already runs on {running} in this process, and this engine needs {backend}: "
            "start a new process"
        )
