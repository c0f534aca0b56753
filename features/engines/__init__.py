"""How a network runs forward. One small interface, engines chosen by name."""

from collections.abc import Callable
from typing import Any

import numpy as np

from features.errors import unknown_name
from features.quiet import quiet_import

ENGINES = ("tensorflow",)
PRECISION = "float32"

Forward = Callable[[np.ndarray], dict[str, np.ndarray]]


def compile_network(engine: str, network: Any, batch_shape: tuple[int, int, int, int]) -> Forward:
    """Return a function from uint8 pixels to the features of every tapped layer.

    Args:
        engine: a name from `ENGINES`.
        network: a Keras model from uint8 (h, w, 3) to {layer: features}.
        batch_shape: (batch size, height, width, 3); the function takes this shape and no other.

    Returns:
        A function of uint8 pixels in `batch_shape` that returns {layer: float32 (batch size, ...)}.
    """
    if engine not in ENGINES:
        raise unknown_name("engine", engine, list(ENGINES))
    return quiet_import(f"features.engines.{engine}").compile_network(network, batch_shape)
