"""What an exported file tells of itself."""

import json
from typing import Any

from features import __version__
from pipeline.data.layers import parts_of
from pipeline.exporting.network import Parts
from pipeline.results.records import CLASSIFIER, Record


def facts(
    record: Record, parts: Parts, loading: dict[str, Any], example: str, resizes: bool
) -> dict[str, str]:
    """Return the metadata of a file by name; what is no text is JSON.

    Args:
        record: of the candidate.
        parts: the candidate in parts.
        loading: the settings by which images are decoded and resized.
        example: Python that calls the file.
        resizes: whether the file resizes pixels itself.
    """
    recipe, digest = _recipe(record)
    values: dict[str, Any] = {
        "producer": f"offshelf {__version__}",
        "candidate": record.name,
        "model": record.title,
        "class_names": list(record.class_names),
        "input": takes(parts, resizes),
        "output": f"probabilities: float32 (n, {parts.classes}), calibrated, in the order of "
        "class_names",
        "example": example,
        "image_size": list(parts.size),
        "resize": loading["resize"],
        "interpolation": loading["interpolation"],
        "resized_inside": resizes,
        "temperature": record.temperature,
        "threshold": record.threshold,
        "recipe": recipe,
        "recipe_digest": digest,
        "splits": record.splits,
        "model_sha256": record.model["sha256"],
    }
    return {
        name: value if isinstance(value, str) else json.dumps(value)
        for name, value in values.items()
    }


def _recipe(record: Record) -> tuple[Any, Any]:
    """Return what makes the features and its digest; of several networks, lists of these."""
    if record.kind != CLASSIFIER:
        return record.model["network"], ""
    found = {part["recipe_digest"]: part["recipe"] for part in parts_of(record.inputs)}
    if len(found) > 1:
        return list(found.values()), list(found)
    ((digest, recipe),) = found.items()
    return recipe, digest


def takes(parts: Parts, resizes: bool) -> str:
    """Return in words which pixels a file takes that resizes them itself, or does not."""
    height, width = parts.size
    if resizes:
        return (
            "pixels: RGB uint8 (n, height, width, 3) of any size; they are resized to "
            f"{height} x {width} inside ({parts.resizing.interpolation}, antialiased)"
        )
    how = "cut to that ratio and " if parts.resizing.resize == "crop" else ""
    return (
        f"pixels: RGB uint8 (n, {height}, {width}, 3), {how}resized beforehand as Pillow does it "
        f"({parts.resizing.interpolation})"
    )
