"""What candidates learn from: the labelled rows of feature files, checked before any fit."""

import dataclasses
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from features.errors import DataError, UsageError, unknown_name
from features.records import UNLABELLED, Recipe
from features.schema import content, hasher
from features.store import FeatureFile
from pipeline.data import duplicates

ALL = "all"  # instead of names of layers


@dataclass(frozen=True)
class Images:
    """The labelled images of a feature file, or of a source, N of them, in its order.

    Attributes:
        ids: N ids.
        labels: int32 (N,), 0 to K - 1.
        class_names: the K names that occur.
        parts: uint8 (N,), the source's `features.records.Split` of each.
        groups: int64 (N,), equal for images that must not part.
        digests: uint8 (N, 16), of each image's bytes.
        rows: int64 (N,), where they stand in the file.
        unlabelled: how many others the file holds.
    """

    ids: tuple[str, ...]
    labels: np.ndarray
    class_names: tuple[str, ...]
    parts: np.ndarray
    groups: np.ndarray
    digests: np.ndarray
    rows: np.ndarray
    unlabelled: int


@dataclass(frozen=True)
class Layer:
    """One layer's features in a file.

    Attributes:
        path: of the feature file.
        name: of the layer.
        recipe: by which they were made.
        dimensions: of each vector.
        digest: of the values: 32 hex digits.
    """

    path: Path
    name: str
    recipe: Recipe
    dimensions: int
    digest: str

    @property
    def title(self) -> str:
        """Backbone and layer, as the names of candidates begin."""
        return f"{self.recipe.backbone}.{self.name}"

    def facts(self) -> dict[str, Any]:
        """Return what a record keeps of it."""
        return {
            "file": str(self.path.resolve()),
            "backbone": self.recipe.backbone,
            "layer": self.name,
            "dimensions": self.dimensions,
            "content": self.digest,
            "recipe_digest": self.recipe.digest,
            "recipe": dataclasses.asdict(self.recipe),
        }


def images(path: Path, group_by: str | None) -> Images:
    """Read who the images of a feature file are, but for their features.

    Raises:
        UsageError: `group_by` is no column of it.
        DataError: it is incomplete, has no labels, or one class only.
    """
    with FeatureFile(path) as file:
        if not file.attributes.get("complete", False):
            raise DataError(f"{path} is not complete; run `extract` again")
        column = None if group_by is None else file.column(group_by)
        return labelled(
            path, file.ids, file.labels, file.class_names, file.splits, file.digests, column
        )


def labelled(
    path: Path,
    ids: Sequence[str],
    labels: np.ndarray,
    class_names: Sequence[str],
    parts: np.ndarray,
    digests: np.ndarray,
    column: np.ndarray | None,
) -> Images:
    """Return those of n images that have a label, which are numbered anew, from 0.

    Args:
        path: that messages name.
        ids: n ids.
        labels: int (n,), into `class_names`, -1 where there is none.
        class_names: of the labels.
        parts: uint8 (n,), `features.records.Split` of each.
        digests: uint8 (n, 16), of each image's bytes.
        column: strings (n,); images equal in it never part. None: no column.

    Raises:
        DataError: no label, or one class only.
    """
    rows = np.flatnonzero(labels != UNLABELLED)
    if not rows.size:
        raise DataError(
            f"{path} has no labels, so there is nothing to learn; take a source with a folder a "
            "class, or a manifest with a column `label`"
        )
    known, codes = np.unique(labels[rows], return_inverse=True)
    names = tuple(class_names[label] for label in known.tolist())
    if len(names) < 2:
        raise DataError(f"{path} has one class only, {names[0]!r}; expected at least two")
    return Images(
        tuple(ids[row] for row in rows.tolist()),
        codes.astype(np.int32),
        names,
        parts[rows],
        duplicates.groups(digests[rows], None if column is None else column[rows]),
        digests[rows],
        rows,
        len(labels) - len(rows),
    )


def check_same(first: Images, path: Path, other: Images) -> None:
    """Raise UsageError unless another file holds the same images and labels in the same order."""
    if (first.ids, first.class_names) != (other.ids, other.class_names) or not np.array_equal(
        first.labels, other.labels
    ):
        raise UsageError(
            f"{path} holds {len(other.ids)} labelled images, but not the {len(first.ids)} of the "
            "first feature file in the same order; classify it with another --out"
        )


def layers(path: Path, wanted: Sequence[str]) -> list[Layer]:
    """Return the wanted layers of a file: the deepest where none is named.

    Raises:
        UsageError: there is no layer of that name, or it holds maps rather than vectors.
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
    digest = hasher()
    for _ in _hashed(file.blocks(f"features/{name}"), digest):
        pass
    return Layer(path, name, file.recipe, shape[1], digest.hexdigest())


def dump(layer: Layer, rows: np.ndarray, target: Path) -> None:
    """Write rows of a layer as float32 (n, D) to an .npy file, to be mapped by several processes.

    Raises:
        DataError: a value is not finite.
    """
    matrix = np.lib.format.open_memmap(
        target, "w+", dtype=np.float32, shape=(len(rows), layer.dimensions)
    )
    _fill(matrix, layer, rows)
    matrix.flush()


def read(layer: Layer, rows: np.ndarray) -> np.ndarray:
    """Return increasing rows of a layer, float32 (n, D); no other row is looked at.

    Raises:
        DataError: a value is not finite.
    """
    matrix = np.empty((len(rows), layer.dimensions), np.float32)
    _fill(matrix, layer, rows)
    return matrix


def _fill(matrix: np.ndarray, layer: Layer, rows: np.ndarray) -> None:
    with FeatureFile(layer.path) as file:
        done = 0
        for values in _selected(file.blocks(f"features/{layer.name}"), rows):
            if not np.isfinite(values).all():
                row = rows[done + int(np.isfinite(values).all(axis=1).argmin())]
                raise DataError(
                    f"{layer.name} of {file.ids[row]} in {layer.path} is not finite; run `inspect` "
                    "on the file and extract it again"
                )
            matrix[done : done + len(values)] = values
            done += len(values)


def vectors(inputs: dict[str, Any], ids: Sequence[str], path: Path | None = None) -> np.ndarray:
    """Return the features of some images as a candidate would have got them: float32 (n, D).

    Args:
        inputs: of the candidate's record.
        ids: of n images.
        path: of the feature file, if it no longer lies where it was.

    Raises:
        DataError: the file is not there, is another one, or lacks an image.
    """
    path = path or Path(inputs["file"])
    if not path.is_file():
        raise DataError(f"there is no {path} any more; say with --features where it lies now")
    with FeatureFile(path) as file:
        here = file.recipe.digest
        if here != inputs["recipe_digest"] or inputs["layer"] not in file.layers:
            raise DataError(
                f"{path} was made by recipe {here}, the candidate learned from recipe "
                f"{inputs['recipe_digest']}; say with --features where that file lies"
            )
        rows, digest = _places(file.ids, ids, path), hasher()
        order = np.argsort(rows, kind="stable")
        values = np.empty((len(rows), inputs["dimensions"]), np.float32)
        blocks = _hashed(file.blocks(f"features/{inputs['layer']}"), digest)
        chosen = [*_selected(blocks, rows[order])]
        if digest.hexdigest() != inputs["content"]:
            raise DataError(
                f"{path}: {inputs['layer']} has changed since the candidate learned from it"
            )
        values[order] = np.concatenate(chosen)
        return values


def _places(there: list[str], ids: Sequence[str], path: Path) -> np.ndarray:
    numbers = {image: row for row, image in enumerate(there)}
    try:
        return np.array([numbers[image] for image in ids], np.int64)
    except KeyError as error:
        raise DataError(f"{path} has no image {error}; expected all that were split") from None


def _hashed(blocks: Iterable[np.ndarray], digest: Any) -> Iterator[np.ndarray]:
    """Yield blocks on their way, after the digest took their content."""
    for block in blocks:
        digest.update(content(block))
        yield block


def _selected(blocks: Iterable[np.ndarray], rows: np.ndarray) -> Iterator[np.ndarray]:
    """Yield increasing rows out of consecutive blocks."""
    start = 0
    for block in blocks:
        first, last = np.searchsorted(rows, (start, start + len(block)))
        yield block[rows[first:last] - start]
        start += len(block)
