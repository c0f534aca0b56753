"""What every engine shares: its interface, and the Keras backend that it needs.

An engine is a module `<name>_engine` with one function, `compile_network(make, batch_shape,
precision, cache)`; it imports its library at its top, and is itself imported only when used. That
of an engine which has int8 takes `calibrate` too.
"""

import os
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np

from features.errors import UsageError

# Makes the Keras network, from uint8 pixels to {layer: float32 features}, in a given precision.
Make = Callable[[str], Any]
# Gives the images that int8 is calibrated on, so many at a time: uint8 (n, height, width, 3) each.
Calibrate = Callable[[int], "Parts"]
BatchShape = tuple[int, int, int, int]  # batch size, height, width, 3
# By which OpenVINO refuses a network; the second where its message holds bytes of the file.
REFUSALS = (RuntimeError, UnicodeDecodeError)


class Parts(Protocol):
    """Images in parts, which can be gone through several times."""

    def __len__(self) -> int: ...

    def __iter__(self) -> Iterator[np.ndarray]: ...


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
