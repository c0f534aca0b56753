"""What ONNX and OpenVINO files say of the pixels that they expect.

ONNX: `Image.BitmapPixelFormat` and `Image.NominalPixelRange` among the metadata
(https://onnx.ai/onnx/repo-docs/MetadataProps.html). Both: OpenVINO's `model_info`, as its Model
API writes it, in the rt_info of a model, and in ONNX as keys that begin with "model_info".
"""

import contextlib
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from features.backbones.catalog import PixelScaling

_KEYS = ("mean_values", "scale_values", "reverse_input_channels", "embedded_processing")
_FORMATS: dict[str, Literal["RGB", "BGR"]] = {"rgb8": "RGB", "bgr8": "BGR"}
_RANGES = {  # factor and offset of pixel values from 0 to 255
    "nominalrange_0_255": (1.0, 0.0),
    "normalized_0_1": (1 / 255, 0.0),
    "normalized_1_1": (2 / 255, -1.0),
    "nominalrange_16_235": (219 / 255, 16.0),
}
_NAME = "file"  # of a scaling that a file says itself


@dataclass(frozen=True)
class Pixels:
    """What is said: the channel order, and the whole scaling; None for what is not."""

    order: Literal["RGB", "BGR"] | None
    scaling: PixelScaling | None


def rt_info(model: Any) -> dict[str, str]:
    """Return what the `model_info` of an openvino.Model says of pixels, as texts."""
    found = {}
    for key in _KEYS:
        with contextlib.suppress(RuntimeError, TypeError):
            if model.has_rt_info(["model_info", key]):
                value = model.get_rt_info(["model_info", key])
                found[key] = str(value.astype(str))[:1000]
    return found


def pixels(metadata: Mapping[str, str], info: Mapping[str, str]) -> Pixels:
    """Return what a file says of its pixels.

    Args:
        metadata: the metadata of an ONNX file, by key in lower case.
        info: what `rt_info` returned.
    """
    info = {key: metadata[f"model_info {key}"] for key in _KEYS
            if f"model_info {key}" in metadata} | dict(info)  # fmt: skip
    if _is_true(info.get("embedded_processing", "")):
        # What OpenCV reads, which is BGR, goes in as it is.
        return Pixels("BGR", PixelScaling(_NAME, "BGR", (1.0, 1.0, 1.0), (0.0, 0.0, 0.0)))
    if "reverse_input_channels" in info:
        order: Literal["RGB", "BGR"] = "RGB" if _is_true(info["reverse_input_channels"]) else "BGR"
        return Pixels(order, _model_info_scaling(info, order))
    named = _FORMATS.get(metadata.get("image.bitmappixelformat", "").lower())
    values = _RANGES.get(metadata.get("image.nominalpixelrange", "").lower())
    if named is None or values is None:
        return Pixels(named, None)
    factor, offset = values
    return Pixels(named, PixelScaling(_NAME, named, (factor,) * 3, (offset,) * 3))


def _model_info_scaling(
    info: Mapping[str, str], order: Literal["RGB", "BGR"]
) -> PixelScaling | None:
    """Return (pixel - mean) / scale, the model's own order of channels; None if not said."""
    if not {"mean_values", "scale_values"} & set(info):
        return None
    means = _three(info.get("mean_values", "0"))
    scales = _three(info.get("scale_values", "1"))
    if means is None or scales is None or 0.0 in scales:
        return None
    factors = (1 / scales[0], 1 / scales[1], 1 / scales[2])
    offsets = (-means[0] / scales[0], -means[1] / scales[1], -means[2] / scales[2])
    return PixelScaling(_NAME, order, factors, offsets)


def _three(text: str) -> tuple[float, float, float] | None:
    """Return three numbers, one of which may stand for all; None for anything else."""
    try:
        numbers = [float(word) for word in text.replace(",", " ").split()]
    except ValueError:
        return None
    numbers = numbers * 3 if len(numbers) == 1 else numbers
    if len(numbers) != 3 or not all(map(math.isfinite, numbers)):
        return None
    return numbers[0], numbers[1], numbers[2]


def _is_true(text: str) -> bool:
    return text.strip().lower() in ("true", "yes", "1")
