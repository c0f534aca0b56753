"""Networks in `.keras` files, anybody's, nested models opened, run as Keras' other networks are.

A file is first built and looked through by a process that may be lost
(`features.processes.bounded`).
"""

import functools
import json
import logging
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from features.backbones import keras_guard
from features.backbones.catalog import SCALINGS
from features.backbones.elsewhere import (
    REMEMBERED,
    Network,
    Tap,
    Wanted,
    check_own_weights,
    check_pooling,
    file_of,
    look_through,
    tap_name,
)
from features.backbones.folding import fold
from features.backbones.network import Step, from_pixels, walk
from features.backbones.weights_file import load
from features.engines.base import BatchShape
from features.errors import DataError, OffshelfError, UsageError
from features.processes.packages import sha256_of, state_of
from features.processes.quiet import keras_here
from features.storage import hdf5_guard
from features.text import reason_of

_ENGINES = ("openvino", "tensorflow", "jax", "torch")
# Layers that scale pixels, by their class; and operations that do, in `preprocess_input`.
_SCALES = ("Rescaling", "Normalization", "Add", "Subtract", "Multiply", "Divide", "TrueDivide")

log = logging.getLogger("offshelf")


def open_network(wanted: Wanted) -> Network:
    """Look through a file and return the network in it; see `opening.find`."""
    path = file_of(wanted.backbone)
    check_own_weights(wanted, path)
    sha256 = sha256_of(path)
    _check_weights(path)
    facts = _look(path, state_of(path), wanted.image_size)
    if facts["nested"]:
        log.info("%s: the nested model %s is opened", path.name, ", ".join(facts["nested"]))
    taps = tuple(
        Tap(tap_name(name), tuple(shape), name, len(shape) == 2) for name, shape in facts["layers"]
    )
    originals = {tap.name: tap.original for tap in taps}
    scaling = wanted.scaling or ("none" if facts["scales"] else None)
    size: tuple[int, int] = tuple(facts["size"])

    def make(
        names: Sequence[str], pooling: str, precision: str, batch_shape: BatchShape
    ) -> Any:  # a keras.Model
        if scaling is None:
            raise UsageError(f"{path} does not say how its pixels are to be scaled (--scaling)")
        check_pooling([tap for tap in taps if tap.name in names], pooling)
        base, _ = build(path, size, sha256)
        folded = fold(base, [originals[name] for name in names], precision)
        steps = {step.operation.name: step for step in walk(folded)}
        outputs = {name: pooled(steps[originals[name]].output, pooling) for name in names}
        return from_pixels(folded, outputs, SCALINGS[scaling], batch_shape[1:3], "own")

    return Network(
        path.name, {"origin": "file", "sha256": sha256}, "", taps, tap_name(facts["default"]),
        size, None if scaling is None else SCALINGS[scaling], _ENGINES, ("keras",), make,
    )  # fmt: skip


def _check_weights(path: Path) -> None:
    """Raise DataError where reading the weights in the file would do harm."""
    try:
        hdf5_guard.check(path, is_for_hdf5=True)
    except DataError as error:
        raise DataError(f"{path}: {error}") from None


@functools.lru_cache(REMEMBERED)
def _look(path: Path, state: tuple[int, ...], size: tuple[int, int] | None) -> dict[str, Any]:
    """Return what `look` returns, once for each state of the file."""
    return look_through(f"{__name__}:look", path, path.stat().st_size, size=size)


def prepare() -> None:
    """Import what `look` needs."""
    keras_here("a .keras file")


def look(path: str, size: list[int] | None) -> dict[str, Any]:
    """Build the network of a file and list its layers; called in another process.

    Args:
        path: a `.keras` file.
        size: height and width in pixels, None where the file is to say it.

    Returns:
        "size": height and width; "layers": name and shape of each; "default": the name of one;
        "nested": names of the models within the model; "scales": whether it scales pixels itself.

    Raises:
        UsageError: the file does not say its size.
        DataError: it is no network of Keras' own layers that takes images.
    """
    base, nested = build(Path(path), None if size is None else (size[0], size[1]))
    steps = tappable_steps(base)
    if not steps:
        raise DataError("no layer of it can be tapped")
    spread = [name for name, step in steps.items() if math.prod(step.output.shape[1:-1]) > 1]
    return {
        "size": base.input_shape[1:3],
        "layers": [[name, step.output.shape[1:]] for name, step in steps.items()],
        "default": (spread or list(steps))[-1],
        "nested": nested,
        "scales": _scales_pixels(base),
    }


def build(path: Path, size: tuple[int, int] | None, sha256: str = "") -> tuple[Any, list[str]]:
    """Return the network of a `.keras` file, models within it opened, and the names of these.

    Args:
        path: the file.
        size: height and width in pixels, None where the file is to say it.
        sha256: the SHA-256 that the file must have, empty where it is not known.

    Raises:
        UsageError: the file does not say its size.
        DataError: as `look`; or the file has changed.
    """
    keras = keras_here("a .keras file")
    content = path.read_bytes()
    config = keras_guard.read_config(content)
    try:
        model = keras.models.model_from_json(json.dumps(config))
        shape = model.input_shape
    except OffshelfError:
        raise
    except Exception as error:  # Keras raises errors of many types
        raise DataError(f"Keras cannot build it: {reason_of(error)}") from None
    load(model, path, path.name, sha256)
    if not isinstance(shape, tuple) or len(shape) != 4 or shape[-1] != 3:
        raise DataError(f"its input has the shape {shape}, expected RGB images, channels last")
    if size is None and None in shape[1:3]:
        raise UsageError("it takes images of any size; name one with --image-size")
    height, width = size or shape[1:3]
    try:
        return flattened(model, (height, width))
    except Exception as error:
        raise DataError(
            f"it does not take images of {height} x {width} pixels: {reason_of(error)}"
        ) from None


def flattened(model: Any, size: tuple[int, int]) -> tuple[Any, list[str]]:
    """Return a model as one graph, models within it opened, and the names of these.

    Its weights are shared, not copied. A layer whose name another one has already gets "_again"
    after it.
    """
    import keras

    nested: list[str] = []
    owners: dict[str, Any] = {}

    def call(operation: Any, *arguments: Any, **options: Any) -> Any:
        if isinstance(operation, keras.Model):
            nested.append(operation.name)
            return through(operation, arguments[0])
        while owners.setdefault(operation.name, operation) is not operation:
            operation.name = f"{operation.name}_again"
        return operation(*arguments, **options)

    def through(model: Any, tensor: Any) -> Any:
        graph = model._functional if isinstance(model, keras.Sequential) else model
        return graph._run_through_graph(tensor, call_fn=call)

    pixels = keras.Input((*size, 3), name="own_pixels")
    return keras.Model(pixels, through(model, pixels)), list(dict.fromkeys(nested))


def tappable_steps(network: Any) -> dict[str, Step]:
    """Return the steps by name whose output is a map, tokens, or a vector, of floats."""
    return {
        step.operation.name: step
        for step in walk(network)
        if step.inputs
        and hasattr(step.output, "shape")
        and len(step.output.shape) in (2, 3, 4)
        and None not in step.output.shape[1:]
    }


def pooled(tensor: Any, pooling: str) -> Any:
    """Return the output of a layer pooled, float32; a vector stays as it is."""
    from keras import ops

    tensor = ops.cast(tensor, "float32")
    shape = tuple(tensor.shape[1:])
    if len(shape) == 1:
        return tensor
    if pooling == "token":
        return tensor[:, 0]
    if pooling == "flatten":
        return ops.reshape(tensor, (-1, math.prod(shape)))
    if pooling == "none":
        return ops.reshape(tensor, (-1, *(1, *shape)[-3:]))
    axes = tuple(range(1, len(shape)))
    parts = {"avg": [ops.mean], "max": [ops.max], "avgmax": [ops.mean, ops.max]}[pooling]
    return ops.concatenate([part(tensor, axis=axes) for part in parts], axis=-1)


def _scales_pixels(network: Any) -> bool:
    """Tell whether pixels are scaled before the first layer that has a kernel."""
    for step in walk(network):
        if type(step.operation).__name__ in _SCALES:
            return True
        if any(w.name.endswith("kernel") for w in getattr(step.operation, "weights", [])):
            return False
    return False
