"""Networks in ONNX files and OpenVINO's own (`.xml` with `.bin`), anybody's, run by OpenVINO.

OpenVINO first reads and runs a file in a process that may be lost
(`features.processes.bounded`); only what came through there is read here. No code is in such
a file.
"""

import functools
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from features.backbones import openvino_graph, openvino_says
from features.backbones.catalog import SCALINGS, PixelScaling
from features.backbones.elsewhere import (
    REMEMBERED,
    Network,
    Tap,
    Wanted,
    check_own_weights,
    check_pooling,
    file_of,
    look_through,
)
from features.backbones.onnx_parts import OnnxParts, external_files, read_parts
from features.backbones.openvino_graph import Layer
from features.engines.base import REFUSALS, BatchShape
from features.errors import DataError, MissingPackageError, UsageError
from features.processes.packages import sha256_of, state_of

ENGINE = "openvino"


def open_network(wanted: Wanted) -> Network:
    """Look through a file and return the network in it; see `opening.find`."""
    path = file_of(wanted.backbone)
    check_own_weights(wanted, path)
    parts, files = _files(path)
    states = tuple(map(state_of, files))
    facts = _look(path, tuple(files), states, wanted.image_size, wanted.batch_size)
    said = openvino_says.pixels(parts.metadata, facts["rt_info"])
    scaling = _scaling(said, wanted.scaling, facts["dtype"])
    layers = [
        Layer(Tap(name, tuple(shape), node, axes == "NTC"), node, axes)
        for name, shape, node, axes in facts["layers"]
    ]
    sha256, *others = (sha256_of(file) for file in files)
    weights = {"origin": "file", "sha256": sha256} | ({"parts": others} if others else {})
    size: tuple[int, int] = tuple(facts["size"])

    def make(
        names: Sequence[str], pooling: str, precision: str, batch_shape: BatchShape
    ) -> Any:  # an openvino.Model; precision is a hint to OpenVINO
        chosen = [next(layer for layer in layers if layer.tap.name == name) for name in names]
        check_pooling([layer.tap for layer in chosen], pooling)
        if [sha256_of(file) for file in files] != [sha256, *others]:
            raise DataError(f"{path} has changed since it was looked through; start again")
        model, axes = _read(path, size, batch_shape[0])
        if scaling is None:
            raise UsageError(f"{path} does not say how its pixels are to be scaled (--scaling)")
        return openvino_graph.tapped(model, axes, chosen, pooling, scaling, batch_shape)

    return Network(
        path.name, weights, "", tuple(layer.tap for layer in layers), facts["default"], size,
        scaling, (ENGINE,), (), make,
    )  # fmt: skip


def _files(path: Path) -> tuple[OnnxParts, list[Path]]:
    """Return what an ONNX file says, and every file that makes the network, the named one first."""
    if path.suffix.lower() == ".onnx":
        parts = read_parts(path)
        return parts, [path, *external_files(path, parts.locations)]
    weights = path.with_suffix(".bin")
    if not weights.is_file():
        raise DataError(f"{path} has its weights in {weights.name}, which is not beside it")
    return OnnxParts(), [path, weights]


@functools.lru_cache(REMEMBERED)
def _look(
    path: Path,
    files: tuple[Path, ...],
    states: tuple[tuple[int, ...], ...],
    size: tuple[int, int] | None,
    batch_size: int,
) -> dict[str, Any]:
    """Return what `look` returns, once for each state of the files."""
    stored = sum(file.stat().st_size for file in files)
    return look_through(f"{__name__}:look", path, stored, size=size, batch_size=batch_size)


def prepare() -> None:
    """Import what `look` needs."""
    if (ov := _openvino()) is not None:
        ov.Core()


def look(path: str, size: list[int] | None, batch_size: int) -> dict[str, Any]:
    """Read a file, find its layers, and run it on one blank image; called in another process.

    Args:
        path: an `.onnx` or `.xml` file.
        size: height and width in pixels, None where the file is to say it.
        batch_size: images in a forward pass.

    Returns:
        "size": height and width; "dtype" of its input; "layers": name, shape, name in the graph
        and axes of each; "default": the name of one; "rt_info": see `openvino_says.rt_info`.

    Raises:
        UsageError: the file does not say its size; the message asks for it.
        DataError: OpenVINO cannot read or run it, or it is no network that takes images.
    """
    model, axes = _read(Path(path), None if size is None else (size[0], size[1]), batch_size)
    parameter = model.get_parameters()[0]
    layers = openvino_graph.find_layers(model, axes, batch_size, path.lower().endswith(".onnx"))
    if not layers:
        raise DataError(
            f"no layer keeps the images of a batch of {batch_size} apart; a network that was "
            "exported for single images needs --batch-size 1"
        )
    facts = {
        "size": [parameter.get_shape()[axes.index(axis)] for axis in "HW"],
        "dtype": parameter.get_element_type().get_type_name(),
        "layers": [[each.tap.name, each.tap.shape, each.node, each.axes] for each in layers],
        "default": openvino_graph.default_layer(layers).tap.name,
        "rt_info": openvino_says.rt_info(model),
    }
    _run_once(model)
    return facts


def _run_once(model: Any) -> None:
    ov = _openvino()
    parameter = model.get_parameters()[0]
    try:
        compiled = ov.Core().compile_model(model, "CPU", {"PERFORMANCE_HINT": "LATENCY"})
        dtype = parameter.get_element_type().to_dtype()
        compiled([np.zeros(tuple(parameter.get_shape()), dtype)])
    except REFUSALS as error:
        raise DataError(f"OpenVINO cannot run it: {openvino_graph.reason(error)}") from None


def _read(path: Path, size: tuple[int, int] | None, batch_size: int) -> tuple[Any, str]:
    """Return a model reshaped to size and batch size, and the axes of its input.

    Raises:
        UsageError: as `look`.
        DataError: as `look`.
    """
    ov = _openvino()
    if ov is None:
        raise MissingPackageError("openvino is not installed; `pip install openvino` brings it")
    try:
        model = ov.Core().read_model(path)
    except REFUSALS as error:
        raise DataError(f"OpenVINO cannot read it: {openvino_graph.reason(error)}") from None
    if len(model.inputs) != 1:
        raise DataError(f"it has {len(model.inputs)} inputs, expected one, of images")
    shape = model.inputs[0].get_partial_shape()
    if shape.rank.is_dynamic or shape.rank.get_length() != 4:
        raise DataError(f"its input has the shape {shape}, expected images of four axes")
    lengths = [axis.get_length() if axis.is_static else -1 for axis in shape]
    axes = _input_axes(model, lengths)
    sides = [lengths[axes.index(axis)] for axis in "HW"]
    if size is None and -1 in sides:
        raise UsageError("it takes images of any size; name one with --image-size")
    sizes = dict(zip("HW", size or sides, strict=True)) | {"N": batch_size, "C": 3}
    try:
        model.reshape([sizes[axis] for axis in axes])
    except REFUSALS as error:
        raise DataError(_does_not_fit(sizes, lengths, axes, error)) from None
    return model, axes


def _input_axes(model: Any, lengths: list[int]) -> str:
    """Return "NCHW" or "NHWC", as the file says it, else by where the three channels are."""
    layout = model.get_parameters()[0].get_layout().to_string()
    said = "".join(sign for sign in layout if sign in "NCHW")
    if said in ("NCHW", "NHWC") and lengths[said.index("C")] in (3, -1):
        return said
    for axes in ("NCHW", "NHWC"):
        if lengths[axes.index("C")] == 3:
            return axes
    raise DataError(f"its input has the lengths {lengths}, expected 3 channels: RGB images")


def _does_not_fit(sizes: dict[str, int], lengths: list[int], axes: str, error: Exception) -> str:
    own = dict(zip(axes, lengths, strict=True))
    text = f"it does not take batches of {sizes['N']} at {sizes['H']} x {sizes['W']} pixels"
    hints = []
    if own["N"] not in (-1, sizes["N"]):
        hints.append(f"--batch-size {own['N']}")
    if -1 not in (own["H"], own["W"]) and (own["H"], own["W"]) != (sizes["H"], sizes["W"]):
        hints.append(f"--image-size {own['H']}x{own['W']}")
    why = f"it was exported for {' '.join(hints)}" if hints else openvino_graph.reason(error)
    return f"{text}: {why}"


def _scaling(said: openvino_says.Pixels, wanted: str | None, dtype: str) -> PixelScaling | None:
    """Return the pixel scaling: the user's, in the file's channel order; else the file's."""
    if wanted is None and said.scaling is None and dtype == "u8":
        wanted = "none"  # whole numbers from 0 to 255 cannot be scaled
    if wanted is None:
        return said.scaling
    scaling = SCALINGS[wanted]
    if said.order == "BGR" != scaling.order:
        return PixelScaling(wanted, "BGR", scaling.scale[::-1], scaling.offset[::-1])
    return scaling


def _openvino() -> Any:
    try:
        return openvino_graph.openvino()
    except ImportError:
        return None
