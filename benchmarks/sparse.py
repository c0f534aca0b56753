"""Feature files of millions of rows whose features are holes, which take little of the disk."""

import json
from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from features.extraction.shards import Shards, partial_folder, shard_images
from features.records import Recipe
from features.storage.hdf5 import put_attributes
from features.storage.row_blocks import Size
from features.storage.schema import DIGEST, SCHEMA, content, hasher, seal
from features.storage.writer import CHUNK_BYTES

CLASSES, LAYER, IDS = 10, "features", "S24"
WIDTHS = {"images/id": np.dtype(IDS).itemsize, "rejected/id": 1, "rejected/reason": 1}
_BATCH = 32
_HASHED = 2**30  # bytes of a hole up to which its digest is right; nobody reads larger ones


def sparse_file(path: Path, rows: range, width: int, attributes: dict[str, Any]) -> None:
    """Write a feature file whose features, float16 (rows, width), are a hole in the file."""
    rng = np.random.default_rng(rows.start)
    columns = {
        "images/id": (ids_of(part) for part in parts_of(rows)),
        "images/digest": (rng.integers(0, 256, (len(p), 16), np.uint8) for p in parts_of(rows)),
        "images/label": (np.array(part, np.int32) % CLASSES for part in parts_of(rows)),
        "images/split": (np.zeros(len(part), np.uint8) for part in parts_of(rows)),
    }
    with h5py.File(path, "w", libver=("v110", "v110")) as file:
        for name, blocks in columns.items():
            _column(file, name, blocks, len(rows))
        for name in ("rejected/id", "rejected/reason"):
            _column(file, name, iter([np.zeros(0, "S1")]), 0)
        _hole(file.require_group("features"), len(rows), width)
        put_attributes(file, attributes | {"schema": SCHEMA, "complete": True})
        put_attributes(file, {DIGEST: seal(file)})


def sparse_shards(out: Path, rows: int, width: int) -> None:
    """Write the shards that an extraction has made before it assembles them."""
    partial_folder(out).mkdir(parents=True)
    shards = shards_of(out, rows, width)
    for start, stop in shards.ranges():
        facts = {"start": start, "stop": stop, "recipe": shards.recipe.to_json(), "notes": "{}"}
        sparse_file(shards._path(start), range(start, stop), width, facts)


def shards_of(out: Path, rows: int, width: int) -> Shards:
    """Return these shards as a driver has them whose workers have written them."""
    shards = Shards(out, recipe_of(rows), rows, shard_images(2 * width, _BATCH, rows))
    for start, stop in shards.ranges():
        shards.take_over(start, Size({"images": stop - start, "rejected": 0}, WIDTHS), {})
    return shards


def parts_of(rows: range, size: int = 10**6) -> Iterator[range]:
    """Yield a range in parts."""
    return (rows[at : at + size] for at in range(0, len(rows), size))


def ids_of(part: range) -> np.ndarray:
    """Return an id for each row, S24."""
    return np.array([b"class%d/%09d.jpg" % (row % CLASSES, row) for row in part], IDS)


def recipe_of(rows: int) -> Recipe:
    """Return a recipe of so many rows."""
    return Recipe(
        "synthetic", {"origin": "none", "sha256": ""}, (LAYER,), "avg", (32, 32), (32, 32), "exact",
        "squash", "bilinear", {"name": "none"}, "none", "float32", "float16", 1,
        {"kind": "folder", "count": rows, "fingerprint": ""}, {},
    )  # fmt: skip


def attributes_of(rows: int) -> dict[str, Any]:
    """Return the attributes of a feature file of so many rows."""
    recipe = recipe_of(rows)
    names = [f"class {number}" for number in range(CLASSES)]
    return {"class_names": json.dumps(names), "recipe": recipe.to_json(),
            "recipe_digest": recipe.digest}  # fmt: skip


def _column(file: h5py.File, path: str, blocks: Iterator[np.ndarray], rows: int) -> None:
    done, dataset, digest = 0, None, hasher()
    for block in blocks:
        if dataset is None:
            is_text = block.dtype.kind == "S"
            dtype = h5py.string_dtype("utf-8", block.dtype.itemsize) if is_text else block.dtype
            step = max(1, min(rows, CHUNK_BYTES // block[:1].nbytes)) if rows else 1
            layout = {"chunks": (step, *block.shape[1:])} if rows else {}
            layout |= {"compression": "gzip", "compression_opts": 1} if rows and is_text else {}
            shape = (rows, *block.shape[1:])
            dataset = file.create_dataset(path, shape, dtype, **layout)
        dataset[done : done + len(block)] = block.view(dataset.dtype)
        digest.update(content(block))
        done += len(block)
    put_attributes(file[path], {DIGEST: digest.hexdigest()})


def _hole(group: h5py.Group, rows: int, width: int) -> None:
    creation = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
    creation.set_chunk((max(1, min(rows, CHUNK_BYTES // (2 * width))), width))
    creation.set_alloc_time(h5py.h5d.ALLOC_TIME_EARLY)
    creation.set_fill_time(h5py.h5d.FILL_TIME_NEVER)
    space = h5py.h5s.create_simple((rows, width))
    kind = h5py.h5t.py_create(np.dtype(np.float16))
    h5py.h5d.create(group.id, LAYER.encode(), kind, space, creation)
    put_attributes(group[LAYER], {DIGEST: _digest_of_zeros(2 * rows * width)})


@lru_cache
def _digest_of_zeros(count: int) -> str:
    digest = hasher()
    if count <= _HASHED:
        digest.update(bytes(count))
    return str(digest.hexdigest())
