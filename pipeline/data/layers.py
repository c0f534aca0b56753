"""The features that candidates learn from: layers of feature files, checked before any fit."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from features.arguments import as_location
from features.disk import durable
from features.errors import DataError, UsageError, unknown_name
from features.records import Recipe
from features.storage.schema import content, hasher
from features.storage.store import FeatureFile
from features.storage.texts import Texts
from pipeline.data.stored_rows import Part, StoredRows

ALL = "all"  # stands for all layers


@dataclass(frozen=True)
class Layer:
    """One layer's features in a file.

    Attributes:
        path: the feature file.
        name: the name of the layer.
        recipe: the recipe by which the features were made.
        dimensions: the length of each vector.
        seconds_per_image: wall time of the extraction, from an image's bytes to the features of
            all layers of the file; None where the file does not say.
    """

    path: Path
    name: str
    recipe: Recipe
    dimensions: int
    seconds_per_image: float | None = None

    @cached_property
    def digest(self) -> str:
        """A digest of the values, 32 hex digits; the whole layer is read for it."""
        digest = hasher()
        with FeatureFile(self.path) as file:
            for _ in _hashed(file.blocks(f"features/{self.name}"), digest):
                pass
        return str(digest.hexdigest())

    @property
    def parts(self) -> "tuple[Layer, ...]":
        """The layers that stand side by side in it: itself, but of joined layers."""
        return (self,)

    @property
    def widths(self) -> tuple[int, ...]:
        """The length of the vector of each part."""
        return tuple(part.dimensions for part in self.parts)

    @property
    def backbone(self) -> str:
        """The name of the network."""
        return self.recipe.backbone

    @property
    def title(self) -> str:
        """Backbone and layer, which begin the names of candidates."""
        return f"{self.backbone.replace('/', '-')}.{self.name}"  # a folder is called so

    @property
    def extraction(self) -> dict[str, float]:
        """Seconds to extract 1,000 images, by the name that a record has for them, if known."""
        if self.seconds_per_image is None:
            return {}
        return {"seconds_1000": round(1000 * self.seconds_per_image, 4)}

    def facts(self) -> dict[str, Any]:
        """Return the facts that a record keeps."""
        return {
            "file": str(self.path.resolve()),
            "backbone": self.recipe.backbone,
            "layer": self.name,
            "dimensions": self.dimensions,
            "content": self.digest,
            "recipe_digest": self.recipe.digest,
            "recipe": self.recipe.to_dict(),
        }


def find_layers(path: Path, wanted: Sequence[str]) -> list[Layer]:
    """Return the named layers of a file, or the deepest where none is named.

    Raises:
        UsageError: there is no layer of that name, or it holds maps, not vectors.
        DataError: the file cannot be read.
    """
    with FeatureFile(path) as file:
        for name in wanted:
            if name not in (ALL, *file.layers):
                raise unknown_name(f"layer in {path}", name, [*file.layers, ALL])
        names = file.layers if ALL in wanted else tuple(wanted) or file.layers[-1:]
        return [_layer(file, path, name) for name in names]


def _layer(file: FeatureFile, path: Path, name: str) -> Layer:
    shape = file.shape(name)
    if len(shape) != 2:
        raise UsageError(
            f"{name} in {path} has maps of shape {shape[1:]}, expected vectors; extract it with "
            "--pooling avg or max"
        )
    return Layer(path, name, file.recipe, shape[1], file.seconds_per_image)


_LARGEST = 1e18  # of a feature: its square is still a number in float32


def write_matrix(layer: Layer, rows: np.ndarray, target: Path) -> None:
    """Write rows of a layer as float32 (n, D) to an .npy file, which several processes can map.

    Raises:
        DataError: a value is not finite.
        OSError: there is no room for the file.
    """
    matrix = durable.mapped_array(target, np.float32, (len(rows), layer.dimensions))
    _fill(matrix, layer, rows)
    matrix.flush()  # type: ignore[attr-defined] # a memory map


def read_rows(layer: Layer, rows: np.ndarray) -> np.ndarray:
    """Return increasing rows of a layer, float32 (n, D); no other row is checked.

    Raises:
        DataError: a value is not finite.
    """
    matrix = np.empty((len(rows), layer.dimensions), np.float32)
    _fill(matrix, layer, rows)
    return matrix


def stored_rows(layer: Layer, rows: np.ndarray) -> StoredRows:
    """Return increasing rows of a layer, which are read in blocks when they are asked for."""
    with FeatureFile(layer.path) as file:
        count = len(file)
    chosen = None if len(rows) == count else rows
    parts = tuple(Part(part.path, part.name, part.dimensions) for part in layer.parts)
    return StoredRows(parts, chosen, count)


def check_values(layer: Layer, rows: StoredRows) -> None:
    """Read all rows of a layer once; raise DataError where a value is not finite."""
    for part, values in rows.blocks():
        _check_parts(layer, values, np.arange(part.start, part.stop), rows.chosen)


def _fill(matrix: np.ndarray, layer: Layer, rows: np.ndarray) -> None:
    stored = stored_rows(layer, rows)
    for part, values in stored.blocks():
        _check_parts(layer, values, np.arange(part.start, part.stop), stored.chosen)
        matrix[part] = values


def _check_parts(
    layer: Layer, values: np.ndarray, places: np.ndarray, chosen: np.ndarray | None
) -> None:
    """Check each part of a layer by itself; arguments are those of `_check`."""
    start = 0
    for part in layer.parts:
        _check(part, values[:, start : start + part.dimensions], places, chosen)
        start += part.dimensions


def _check(layer: Layer, values: np.ndarray, places: np.ndarray, chosen: np.ndarray | None) -> None:
    """Raise DataError where a value is no number that can be squared.

    Args:
        layer: the layer.
        values: float32 (b, D).
        places: which of the chosen rows they are, (b,).
        chosen: the rows of the file that are read; None: all.
    """
    fits = np.abs(values) <= _LARGEST  # False where a value is not a number, too
    if fits.all():
        return
    place = places[int(fits.all(axis=1).argmin())]
    row = place if chosen is None else chosen[place]
    with FeatureFile(layer.path) as file:
        raise DataError(
            f"{layer.name} of {file.ids[row]} in {layer.path} is not finite, or beyond "
            f"{_LARGEST:g}; run `inspect` on the file and extract it again"
        )


def parts_of(inputs: dict[str, Any]) -> list[dict[str, Any]]:
    """Return the layers that a record's inputs name: one, or those that stand side by side."""
    return list(inputs.get("parts", [inputs]))


def features_of(inputs: dict[str, Any], ids: Sequence[str], path: Path | None = None) -> np.ndarray:
    """Return the features of images, float32 (n, D), as the candidate learned from them.

    Args:
        inputs: the inputs in the candidate's record.
        ids: n ids.
        path: the feature file, if it has moved; of several the one that it is.

    Raises:
        DataError: a file is missing, is another one, or lacks an image.
    """
    values = np.empty((len(ids), inputs["dimensions"]), np.float32)
    start = 0
    for part in parts_of(inputs):
        with FeatureFile(file_of(inputs, part, path)) as file:
            rows = _places_in(file, part, ids)
            order = np.argsort(rows, kind="stable")
            chosen = [*_selected(_unchanged(file, part), rows[order])]
            values[order, start : start + part["dimensions"]] = np.concatenate(chosen)
            start += part["dimensions"]
    return values


def rows_of(inputs: dict[str, Any], ids: Sequence[str], path: Path | None = None) -> StoredRows:
    """Return what `features_of` does as rows that are read in blocks; each layer is read once.

    Raises:
        DataError: as `features_of`.
    """
    found: list[tuple[Part, np.ndarray, int]] = []
    for part in parts_of(inputs):
        with FeatureFile(file_of(inputs, part, path)) as file:
            rows = _places_in(file, part, ids)
            for _ in _unchanged(file, part):
                pass
            stored = Part(file.path, part["layer"], part["dimensions"])
            found.append((stored, rows, len(file)))
    _, rows, count = found[0]
    for stored, others, _ in found:
        if not np.array_equal(rows, others):
            raise DataError(
                f"{stored.path} holds its images in another order than {found[0][0].path}"
            )
    return StoredRows(tuple(stored for stored, _, _ in found), rows, count)


def file_of(inputs: dict[str, Any], part: dict[str, Any], path: Path | None) -> Path:
    """Return the feature file of a part of some inputs, where it lies now."""
    recorded = as_location(part["file"], "file")
    if path is not None and "parts" in inputs:  # it is the file of some of the parts
        with FeatureFile(path) as file:
            path = path if file.recipe.digest == part["recipe_digest"] else recorded
    path = path or recorded
    if not path.is_file():
        raise DataError(f"there is no {path} any more; say with --features where it lies now")
    return path


def _places_in(file: FeatureFile, inputs: dict[str, Any], ids: Sequence[str]) -> np.ndarray:
    """Return the rows of images in the file that a candidate learned from, int64 (n,)."""
    recipe = file.recipe.digest
    if recipe != inputs["recipe_digest"] or inputs["layer"] not in file.layers:
        raise DataError(
            f"{file.path} was made by recipe {recipe}, the candidate learned from recipe "
            f"{inputs['recipe_digest']}; say with --features where that file lies"
        )
    return _places(file.ids, ids, file.path)


def _unchanged(file: FeatureFile, inputs: dict[str, Any]) -> Iterator[np.ndarray]:
    """Yield a layer in blocks; raise DataError in the end where it has changed."""
    digest = hasher()
    yield from _hashed(file.blocks(f"features/{inputs['layer']}"), digest)
    if digest.hexdigest() != inputs["content"]:
        raise DataError(
            f"{file.path}: {inputs['layer']} has changed since the candidate learned from it"
        )


def _places(stored: Texts, ids: Sequence[str], path: Path) -> np.ndarray:
    places = stored.places_of(ids)
    if (places < 0).any():
        missing = ids[int((places < 0).argmax())]
        raise DataError(f"{path} has no image {missing!r}; expected all that were split")
    return places


def _hashed(blocks: Iterable[np.ndarray], digest: Any) -> Iterator[np.ndarray]:
    """Yield blocks, and add their content to the digest."""
    for block in blocks:
        digest.update(content(block))
        yield block


def _selected(blocks: Iterable[np.ndarray], rows: np.ndarray) -> Iterator[np.ndarray]:
    """Yield increasing rows from consecutive blocks."""
    start = 0
    for block in blocks:
        first, last = np.searchsorted(rows, (start, start + len(block)))
        yield block[rows[first:last] - start]
        start += len(block)
