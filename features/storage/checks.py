"""Whether a feature file still holds what was written, and whether its columns fit each other."""

import logging
from collections.abc import Iterator, Mapping
from functools import partial
from typing import Any

import h5py
import numpy as np

from features.errors import DataError
from features.processes.progress import progress_bar
from features.records import UNLABELLED, Split
from features.storage import facts
from features.storage.hdf5 import attributes_of, blocks, texts_of
from features.storage.hdf5_chunks import ChunkedArray
from features.storage.schema import DIGEST, content, hasher, paths, reading, seal
from features.storage.sharded import ShardFiles

log = logging.getLogger("offshelf")

CHANGED = "has changed since it was written: its digest differs"


def find_problems(file: h5py.File, shards: ShardFiles | None = None) -> list[str]:
    """Read a whole feature file; return a line for each thing that is wrong with it.

    Args:
        file: the file, or the index of one in shards.
        shards: the shards of an index.
    """
    problems: list[str] = []
    checks = [check_seal, check_content, _check_rows, _check_recipe]
    if shards is not None:
        checks.append(partial(_check_shards, shards=shards))
    for check in checks:
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


def check_content(file: h5py.File, whole: Mapping[str, Any] | None = None) -> Iterator[str]:
    """Yield a line for each dataset that differs from its digest, or is not finite.

    Args:
        file: the file.
        whole: hashers, to which the content of the datasets of these paths is added.
    """
    for path in paths(file):
        digest, is_finite = hasher(), True
        others = [whole[path]] if whole and path in whole else []
        try:
            for block in blocks(ChunkedArray(file[path])):
                for each in (digest, *others):
                    each.update(content(block))
                is_finite &= block.dtype.kind != "f" or bool(np.isfinite(block).all())
        except (OSError, RuntimeError) as error:
            yield f"/{path} cannot be read: {error}"
            continue
        if digest.hexdigest() != attributes_of(file[path]).get(DIGEST):
            yield f"/{path} {CHANGED}"
        if not is_finite:
            yield f"/{path} holds values that are not finite"


def _check_shards(file: h5py.File, shards: ShardFiles) -> Iterator[str]:
    """Read every shard, and compare what all of them hold with what the index holds."""
    absent = shards.absent()
    if absent:
        yield f"{len(absent)} of {len(shards)} shards are missing, such as {shards.name(absent[0])}"
    alike = [path for path in paths(file) if not path.startswith(("features/", "shards/"))]
    whole, is_read = {path: hasher() for path in alike}, not absent
    with progress_bar(len(shards), len(absent), "shard", log.isEnabledFor(logging.INFO)) as bar:
        for number in sorted({*range(len(shards))} - {*absent}):
            try:
                with shards.opened(number) as shard:
                    for problem in check_content(shard, whole):
                        yield f"{shards.name(number)}: {problem}"
            except DataError as error:
                yield str(error)
                is_read = False
            bar.update()
    for path in alike if is_read else ():
        if whole[path].hexdigest() != attributes_of(file[path]).get(DIGEST):
            yield f"/{path} of the index is not what its shards hold"


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
