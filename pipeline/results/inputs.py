"""What candidates learned from, as records hold it: the schema of `Record.inputs`."""

from dataclasses import dataclass
from typing import Annotated, Any

import msgspec

from features.disk import documents
from features.disk.documents import Whole
from features.errors import DataError
from features.records import Recipe

_Side = Annotated[int, msgspec.Meta(ge=1, lt=2**15)]  # pixels
_Size = tuple[_Side, _Side]


@dataclass(frozen=True)
class _Any:
    """What all candidates have, also those of another tool."""

    content: str
    command: str = ""
    only_labels: bool = False
    image_size: _Size | None = None


@dataclass(frozen=True)
class _Features:
    """Of a classifier: a layer of a feature file."""

    file: str
    backbone: str
    layer: str
    dimensions: Whole
    recipe_digest: str
    recipe: dict[str, Any]


@dataclass(frozen=True)
class _Joined:
    """Of a classifier: layers of feature files that stand side by side, each with its features."""

    parts: Annotated[list[dict[str, Any]], msgspec.Meta(min_length=2)]
    backbone: str
    layer: str
    dimensions: Whole


@dataclass(frozen=True)
class _Pixels:
    """Of a network: the images of a source."""

    source: str
    limit: Whole | None
    image_size: _Size
    locked: str


def check(inputs: dict[str, Any], where: str) -> None:
    """Raise DataError, whose message begins with `where`, unless inputs are what they should be."""
    documents.convert(inputs, _Any, where)
    if "parts" in inputs:
        _check_joined(inputs, where)
    elif inputs.keys() & {"file", "layer", "recipe", "recipe_digest"}:
        features = documents.convert(inputs, _Features, where)
        recipe = Recipe.from_dict(features.recipe, f"{where}: recipe")
        if features.layer not in recipe.layers:
            raise DataError(
                f"{where}: layer is {features.layer!r:.60}, expected one of its recipe's: "
                f"{', '.join(recipe.layers):.200}"
            )
    if inputs.keys() & {"source", "locked", "limit"}:
        documents.convert(inputs, _Pixels, where)


def _check_joined(inputs: dict[str, Any], where: str) -> None:
    joined = documents.convert(inputs, _Joined, where)
    if inputs.keys() & {"file", "recipe", "recipe_digest"}:
        raise DataError(f"{where}: it has parts, and is one layer as well")
    for number, part in enumerate(joined.parts):
        if "parts" in part or "layer" not in part:
            raise DataError(f"{where}: parts: {number} is no layer")
        check(part, f"{where}: parts: {number}")
    widths = sum(part["dimensions"] for part in joined.parts)
    if widths != joined.dimensions:
        raise DataError(
            f"{where}: dimensions is {joined.dimensions}, expected {widths} of its parts"
        )
