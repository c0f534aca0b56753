"""A candidate as OpenVINO keeps it: a folder with a graph and its weights."""

from pathlib import Path
from typing import Any

import numpy as np

from features.engines.openvino_engine import openvino
from features.engines.tensorflow_engine import concrete_function
from pipeline.exporting.network import Parts
from pipeline.exporting.resizing import CUBIC, Resizing

_MODEL, _WEIGHTS = "model.xml", "model.bin"
RESIZES = True
_FACTS = "offshelf"  # the section of the model's information
PIXELS, PROBABILITIES = "pixels", "probabilities"

EXAMPLE = """\
import openvino
settings = {{"INFERENCE_PRECISION_HINT": "f32"}}
model = openvino.Core().compile_model("{name}/model.xml", "CPU", settings)
probabilities = model(pixels)[0]"""


def write(parts: Parts, path: Path, facts: dict[str, str]) -> None:
    """Write the folder's files; raises OSError."""
    model = openvino.convert_model(concrete_function(parts.pixels, (None, *parts.size, 3)))
    model.inputs[0].get_tensor().set_names({PIXELS})
    model.outputs[0].get_tensor().set_names({PROBABILITIES})
    if parts.resizing.inside:
        model = _with_resizing(model, parts)
    for name, value in facts.items():
        model.set_rt_info(value, [_FACTS, name])
    path.mkdir(exist_ok=True)
    openvino.save_model(model, path / _MODEL, compress_to_fp16=False)


def _with_resizing(model: Any, parts: Parts) -> Any:
    """Return the model for pixels of any size, which are resized as Pillow does it.

    Pillow resizes rows, rounds half up, then does the same by columns.
    """
    from openvino import opset13 as operators

    given = operators.parameter(openvino.PartialShape([-1, -1, -1, 3]), np.uint8, PIXELS)
    given.output(0).get_tensor().set_names({PIXELS})
    first = operators.transpose(given, np.array([0, 3, 1, 2]))  # the order that is implemented
    height = operators.gather(operators.shape_of(first), np.array([2]), np.array(0))
    width = np.array([parts.size[1]])
    rows = _resized(operators, first, operators.concat([height, width], 0), parts.resizing)
    both = _resized(operators, rows, operators.constant(np.array(parts.size)), parts.resizing)
    pixels = operators.transpose(both, np.array([0, 2, 3, 1]))
    (old,) = model.get_parameters()
    for reader in old.output(0).get_target_inputs():
        reader.replace_source_output(pixels.output(0))
    return openvino.Model(model.get_results(), [given], "candidate")


def _resized(operators: Any, pixels: Any, sides: Any, resizing: Resizing) -> Any:
    """Return uint8 pixels (n, 3, h, w) in other sides, rounded half up."""
    values = operators.interpolate(
        operators.convert(pixels, "f32"), sides, f"{resizing.interpolation}_pillow", "sizes",
        axes=np.array([2, 3]), cube_coeff=CUBIC,
    )  # fmt: skip
    rounded = operators.floor(operators.add(values, np.float32(0.5)))
    return operators.convert(operators.clamp(rounded, 0.0, 255.0), "u8")


def probabilities(path: Path, pixels: np.ndarray) -> np.ndarray:
    """Return what a folder makes of uint8 pixels (n, h, w, 3): float32 (n, K)."""
    core = openvino.Core()
    model = core.compile_model(path / _MODEL, "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
    return np.array(model(pixels)[0])


def is_ours(path: Path) -> bool:
    """Return whether a folder holds nothing that was not written here."""
    return {entry.name for entry in path.iterdir()} <= {_MODEL, _WEIGHTS}
