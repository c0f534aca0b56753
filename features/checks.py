"""Whether a feature file is as it was written, and whether its parts fit each other."""

from collections.abc import Iterator
from typing import TYPE_CHECKING

import h5py
import numpy as np

from features.errors import DataError
from features.schema import DIGEST, content, hasher, paths, reading, seal
from features.texts import attributes_of

if TYPE_CHECKING:
    from features.store import FeatureFile

CHANGED = "has changed since it was written: its digest differs"


def problems(file: "FeatureFile", stored: h5py.File) -> list[str]:
    """Read a whole file; return what is wrong with it, one line each, empty where nothing is."""
    found: list[str] = []
    checks = (check_seal(stored), _content(file, stored), _rows(file), _recipe(file))
    for check in checks:
        try:
            with reading("cannot be read"):
                found.extend(check)
        except DataError as error:
            found.append(str(error))
    return found


def check_seal(stored: h5py.File) -> Iterator[str]:
    """Yield a line if anything but the content of the datasets has changed."""
    if seal(stored) != attributes_of(stored).get(DIGEST):
        yield "an attribute, or the shape or type of a dataset, " + CHANGED


def _content(file: "FeatureFile", stored: h5py.File) -> Iterator[str]:
    for path in paths(stored):
        digest, finite = hasher(), True
        try:
            for block in file.blocks(path):
                digest.update(content(block))
                finite = finite and (block.dtype.kind != "f" or bool(np.isfinite(block).all()))
        except (OSError, RuntimeError) as error:
            yield f"/{path} cannot be read: {error}"
            continue
        if digest.hexdigest() != attributes_of(stored[path]).get(DIGEST):
            yield f"/{path} {CHANGED}"
        if not finite:
            yield f"/{path} holds values that are not finite"


def _rows(file: "FeatureFile") -> Iterator[str]:
    if twice := len(file) - len(set(file.ids)):
        yield f"/images/id: {twice} ids occur more than once"
    labels, names = file.labels, file.class_names
    if len(file) and not -1 <= labels.min() <= labels.max() < len(names):
        yield f"/images/label: labels reach beyond the {len(names)} class names"
    if not file.attributes.get("complete", False):
        yield "the file is not marked as complete"


def _recipe(file: "FeatureFile") -> Iterator[str]:
    try:
        recipe = file.recipe
    except DataError as error:
        yield str(error)
        return
    if recipe.digest != file.attributes.get("recipe_digest"):
        yield "the recipe does not match its digest"
    if set(recipe.layers) != set(file.layers):
        yield f"/features holds {file.layers}, the recipe names {recipe.layers}"
    rejected, expected = len(file.rejected), recipe.source["count"]
    if expected != len(file) + rejected:
        yield f"{len(file)} rows and {rejected} rejected images, but the source had {expected}"
