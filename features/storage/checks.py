"""Whether a feature file still holds what was written, and whether its columns fit each other."""

from collections.abc import Iterator

import h5py
import numpy as np

from features.errors import DataError
from features.records import UNLABELLED, Split
from features.storage import facts
from features.storage.hdf5 import attributes_of, blocks, texts_of
from features.storage.hdf5_chunks import ChunkedArray
from features.storage.schema import DIGEST, content, hasher, paths, reading, seal

CHANGED = "has changed since it was written: its digest differs"


def find_problems(file: h5py.File) -> list[str]:
    """Read a whole feature file; return a line for each thing that is wrong with it."""
    problems: list[str] = []
    for check in (check_seal, _check_content, _check_rows, _check_recipe):
        try:
            with reading("cannot be read"):
                problems.extend(check(file))
        except DataError as error:
            problems.append(str(error))
    return problems


def check_seal(file: h5py.File) -> Iterator[str]:
    """Yield a line if anything but the content of the datasets has changed."""
    if seal(file) != attributes_of(file).get(DIGEST):
        yield "an attribute, or the shape or type of a dataset, " + CHANGED


def _check_content(file: h5py.File) -> Iterator[str]:
    for path in paths(file):
        digest, is_finite = hasher(), True
        try:
            for block in blocks(file[path]):
                digest.update(content(block))
                is_finite &= block.dtype.kind != "f" or bool(np.isfinite(block).all())
        except (OSError, RuntimeError) as error:
            yield f"/{path} cannot be read: {error}"
            continue
        if digest.hexdigest() != attributes_of(file[path]).get(DIGEST):
            yield f"/{path} {CHANGED}"
        if not is_finite:
            yield f"/{path} holds values that are not finite"


def _check_rows(file: h5py.File) -> Iterator[str]:
    attributes, ids = attributes_of(file), texts_of(file["images/id"])
    labels, splits = (ChunkedArray(file[f"images/{name}"]) for name in ("label", "split"))
    if repeated := ids.repeated():
        yield f"/images/id: {repeated} ids occur more than once"
    classes = len(facts.class_names(attributes))
    if len(ids) and not UNLABELLED <= labels[:].min() <= labels[:].max() < classes:
        yield f"/images/label: labels reach beyond the {classes} class names"
    if len(ids) and splits[:].max() > max(Split):
        yield f"/images/split: codes reach beyond {max(Split)}"
    if not facts.is_complete(attributes):
        yield "the file is not marked as complete"


def _check_recipe(file: h5py.File) -> Iterator[str]:
    attributes, layers = attributes_of(file), tuple(file["features"])
    recipe = facts.recipe(attributes)
    if recipe.digest != attributes.get("recipe_digest"):
        yield "the recipe does not match its digest"
    if set(recipe.layers) != set(layers):
        yield f"/features holds {layers}, the recipe names {recipe.layers}"
    rows, rejected, expected = (
        len(file["images/id"]),
        len(file["rejected/id"]),
        recipe.source["count"],
    )
    if expected != rows + rejected:
        yield f"{rows} rows and {rejected} rejected images, but the source had {expected}"
