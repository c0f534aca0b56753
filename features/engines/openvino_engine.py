"""OpenVINO, for Intel and AMD processors. A network is converted once, by way of TensorFlow.

For int8 it is converted for any number of images, then quantized, so that one network, calibrated
once, serves batches of every size.

The converted network is read from the cache as a whole and compared with its checksums before
OpenVINO sees it: weights that have changed would give other features without a word.
"""

import logging
import sys
import warnings
from pathlib import Path
from typing import Any

import numpy as np

from features.config import INT8
from features.disk import durable, sealed
from features.disk.leftovers import scratch_folder
from features.engines.base import REFUSALS, BatchShape, Calibrate, Compiled, Make, use_keras_on
from features.errors import DataError
from features.processes.quiet import import_without
from features.text import for_terminal

# With this package OpenVINO would report each conversion to its maker; without it nothing is sent.
openvino = import_without("openvino_telemetry", "openvino")

# What of an int8 network is not quantized runs in float32, so that it is the same on every machine.
_HINTS = {"float32": "f32", "bfloat16": "bf16", "float16": "f16", INT8: "f32"}
_SAID = 200  # characters of what OpenVINO says, which are many lines
_MODEL, _WEIGHTS = "network.xml", "network.bin"

log = logging.getLogger("offshelf")


def compile_network(
    make: Make,
    batch_shape: BatchShape,
    precision: str,
    cache: Path | None,
    calibrate: Calibrate | None = None,
) -> Compiled:
    """Convert the network, or take it from `cache`; see `engines.compile_network`."""
    core = openvino.Core()
    model = None if cache is None else _kept(core, cache)
    if model is None:
        network = make("float32")
        if precision == INT8:
            model = _quantized(network, batch_shape, calibrate)
        else:
            model = _converted(network, batch_shape)
        if cache is not None:
            _keep(model, cache)
    _set_batch(model, batch_shape)
    # One stream on all cores: a second one would only halve the cores that a batch gets.
    settings = {"INFERENCE_PRECISION_HINT": _HINTS[precision], "PERFORMANCE_HINT": "LATENCY"}
    compiled = core.compile_model(model, "CPU", settings)
    request = compiled.create_infer_request()
    shapes = {port.any_name: tuple(port.shape)[1:] for port in compiled.outputs}

    def forward(pixels: np.ndarray) -> dict[str, np.ndarray]:
        outputs = request.infer({0: pixels}, share_inputs=True)
        return {name: outputs[name] for name in shapes}

    return Compiled(shapes, forward)


def _quantized(network: Any, batch_shape: BatchShape, calibrate: Calibrate | None) -> Any:
    """Return the int8 model of a network, for any number of images where it can take any."""
    from features.engines.quantizing import quantize

    if calibrate is None:
        raise DataError("int8 is calibrated on the images of an extraction, and there are none")
    any_number = (None, *batch_shape[1:])
    model = _converted(network, any_number)
    try:
        _set_batch(model, any_number)
    except DataError:
        if batch_shape[0] != 1:
            raise
        _set_batch(model, batch_shape)
    return quantize(model, calibrate)


def _converted(network: Any, batch_shape: tuple[int | None, ...]) -> Any:
    """Return the OpenVINO model of a network, its outputs named after the layers."""
    if isinstance(network, openvino.Model):  # one from elsewhere, see backbones.elsewhere
        return network
    if "torch" in sys.modules and isinstance(network, sys.modules["torch"].nn.Module):
        return _from_torch(network, batch_shape)
    from features.engines.tensorflow_engine import concrete_function

    use_keras_on("tensorflow")
    concrete = concrete_function(network, batch_shape)
    model = openvino.convert_model(concrete)
    # A dict of outputs is flattened in the order of its keys.
    for port, name in zip(model.outputs, sorted(network.output), strict=True):
        port.get_tensor().set_names({name})
    return model


def _from_torch(network: Any, batch_shape: tuple[int | None, ...]) -> Any:
    """Return the OpenVINO model of a `torch_network.PixelNetwork`."""
    torch = sys.modules["torch"]
    example = torch.zeros((2, *batch_shape[1:]), dtype=torch.uint8)  # traced with few images
    with torch.no_grad(), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of tracing, for Python code that depends on shapes
        model = openvino.convert_model(network, example_input=example)
    for port, name in zip(model.outputs, network.layers, strict=True):
        port.get_tensor().set_names({name})
    _set_batch(model, batch_shape)
    return model


def _set_batch(model: Any, batch_shape: tuple[int | None, ...]) -> None:
    """Let a model take this number of images, None any, whatever it was converted for.

    Raises:
        DataError: it takes another number alone, or does not keep the images apart.
    """
    wanted = openvino.PartialShape([-1 if length is None else length for length in batch_shape])
    given = model.input(0).get_partial_shape()
    try:
        if given != wanted:
            model.reshape({model.input(0): wanted})
    except REFUSALS:
        raise DataError(
            f"the network was converted for pixels of shape {given} and takes none of shape "
            f"{wanted}"
        ) from None
    for port in model.outputs:
        if port.get_partial_shape()[0] != wanted[0]:
            raise DataError(
                f"{port.any_name} of this network does not keep the images of a batch apart"
            )


def _kept(core: Any, cache: Path) -> Any | None:
    """Return the converted network from the cache, None where it is to be made anew."""
    if not cache.exists():
        return None
    try:
        graph, weights = sealed.read_files(cache, cache.name, (_MODEL, _WEIGHTS))
        model = core.read_model(graph, weights)
        if len(model.inputs) != 1:
            raise DataError(f"it has {len(model.inputs)} inputs, expected one, of pixels")
        return model
    except (DataError, *REFUSALS) as error:
        reason = for_terminal(" ".join(str(error).split()), _SAID)
        log.warning("%s: the converted network is made anew, since %s", cache, reason)
        return None


def _keep(model: Any, cache: Path) -> None:
    """Put the model into the cache, whole or not at all; log a warning where that fails."""
    try:
        durable.make_folder(cache.parent)
        with scratch_folder(cache.parent, "convert") as scratch:
            draft = scratch / "whole"
            draft.mkdir()
            openvino.save_model(model, draft / _MODEL, compress_to_fp16=False)
            sealed.write_note(draft, cache.name)
            durable.place_folder(draft, cache)
    except (OSError, RuntimeError) as error:  # a RuntimeError of OpenVINO may mean a full disk
        log.warning(
            "the converted network could not be kept in %s, is the disk full? (%s)",
            cache.parent,
            error,
        )
