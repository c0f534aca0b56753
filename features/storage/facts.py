"""The facts that the attributes of a feature file hold as JSON, each checked by its schema."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any, Literal

import msgspec

from features.disk import documents
from features.disk.documents import Seconds, Whole
from features.errors import DataError
from features.records import Recipe
from features.sources.reading import Reading


@dataclass(frozen=True)
class _Order:
    """What is read of a recipe when a file is opened."""

    layers: tuple[str, ...] = ()


@dataclass(frozen=True)
class _Options:
    """The options by which a source was read, as `ExtractConfig` has them."""

    limit: Annotated[int, msgspec.Meta(ge=1)] | None = None
    splits: tuple[tuple[Literal["train", "validation", "test"], str], ...] | None = None


@dataclass(frozen=True)
class _Provenance:
    """What a file may say of where, when and on what it was made.

    Version 0.2.0 had neither options nor reading.
    """

    source: str | None = None
    options: _Options | None = None
    reading: Reading | None = None
    licence: str = ""
    created: str | None = None
    seconds: Seconds | None = None
    images_this_run: Whole | None = None
    platform: str = ""
    python: str = ""


@dataclass(frozen=True)
class Part:
    """What a joined file keeps of each file that it was made of.

    Attributes:
        rows: the number of its rows.
        rejected: the number of its rejected images.
        source: what its recipe says of its source: kind, count and fingerprint.
        digest: its own digest, by which it is known.
        provenance: where, when and on what it was made.
    """

    rows: Whole
    rejected: Whole
    source: dict[str, Any]
    digest: str
    provenance: dict[str, Any]


def text(attributes: Mapping[str, Any], name: str, default: str = "") -> str:
    """Return an attribute that is a text; raise DataError where it is anything else."""
    value = attributes.get(name, default)
    if not isinstance(value, str):
        raise DataError(f"its attribute {name!r} is {value!r:.60}, expected text")
    return value


def class_names(attributes: Mapping[str, Any]) -> tuple[str, ...]:
    """Return the names of the classes; raise DataError where they are no distinct names."""
    where = "its class_names"
    names = documents.decode(text(attributes, "class_names", "[]"), tuple[str, ...], where)
    if repeated := [name for name, count in Counter(names).items() if count > 1]:
        raise DataError(f"{where}: {repeated[0]!r:.60} stands there twice")
    return names


def layer_order(attributes: Mapping[str, Any]) -> tuple[str, ...]:
    """Return the layers in the order of the recipe; none where there is no recipe."""
    return documents.decode(text(attributes, "recipe", "{}"), _Order, "its recipe").layers


def recipe(attributes: Mapping[str, Any]) -> Recipe:
    """Return the recipe; raise DataError where it is missing or damaged."""
    return Recipe.from_json(text(attributes, "recipe"), "its recipe")


def notes(attributes: Mapping[str, Any]) -> dict[str, int]:
    """Return the numbers of images by what was guessed of them or looks wrong."""
    return documents.decode(text(attributes, "notes", "{}"), dict[str, Whole], "its notes")


def provenance(attributes: Mapping[str, Any]) -> dict[str, Any]:
    """Return where, when and on what the file was made; raise DataError where it is damaged."""
    where = "its provenance"
    values: dict[str, Any] = documents.parse(text(attributes, "provenance", "{}"), where)
    documents.convert(values, _Provenance, where)
    return values


def parts(attributes: Mapping[str, Any]) -> tuple[Part, ...]:
    """Return the files that a joined file was made of; none of another one."""
    return documents.decode(text(attributes, "parts", "[]"), tuple[Part, ...], "its parts")


def source_options(attributes: Mapping[str, Any]) -> dict[str, Any] | None:
    """Return the options by which the source was read, None where the file does not say."""
    options = documents.convert(provenance(attributes), _Provenance, "its provenance").options
    return None if options is None else vars(options)


def is_complete(attributes: Mapping[str, Any]) -> bool:
    """Return whether the file is marked as written to its end."""
    return bool(attributes.get("complete", False))
