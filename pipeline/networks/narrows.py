"""Where a network is narrow: all that comes later depends on a single tensor."""

from collections.abc import Iterator
from typing import Any


def narrows(model: Any) -> Iterator[tuple[Any, Any]]:
    """Yield each operation of a keras.Model, and the one tensor that all later operations read.

    The tensor is None where they read several, or where none comes later.
    """
    import keras

    operations = list(model.operations)
    last_use = {
        id(tensor): step
        for step, operation in enumerate(operations)
        for tensor in keras.tree.flatten(operation.input)
    }
    alive: dict[int, Any] = {}  # tensors that later operations read
    for step, operation in enumerate(operations):
        alive[id(operation.output)] = operation.output
        alive = {key: tensor for key, tensor in alive.items() if last_use.get(key, -1) > step}
        yield operation, next(iter(alive.values())) if len(alive) == 1 else None
