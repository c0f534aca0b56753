"""The stage that gets a public data set: `python -m pipeline fetch cifar10`."""

import io
import json
import logging
import os
from pathlib import Path
from typing import Any

import h5py

from features import durable
from features.errors import DataError, UsageError
from pipeline.datasets.arrays import Arrays
from pipeline.datasets.catalog import Dataset, find
from pipeline.datasets.origins import obtain

SCHEMA = 1
CHUNK_BYTES = 2**20  # of images: a batch is read in a few chunks, a single image in one

log = logging.getLogger("offshelf")


def fetch(name: str, out: Path, progress: bool = True) -> Path:
    """Write a public data set to an HDF5 file, unless it is there already.

    The file holds `images` (uint8, (N, H, W, 3) RGB or (N, H, W) grey), `labels` (int32, (N,)) and
    `split` (uint8, (N,), codes of `features.records.Split`): the official training part, then the
    official test part, each in its official order. Attributes: `schema`, `complete`, `name`,
    `class_names` (json), `origin` (json), `digest` (BLAKE2b of all three).

    Args:
        name: "cifar10", "mnist" or "fashion-mnist".
        out: the file to write; its folder is made where it is missing.
        progress: show a progress bar.

    Returns:
        `out`.

    Raises:
        UsageError: no data set is called that; `out` is something else; its folder cannot be
            written to.
        DataError: the data set could not be had, or the disk is full.
    """
    dataset = find(name)
    if _is_there(dataset, out):
        log.info("%s is already there: %s", name, out)
        return out
    durable.prepare_folder(out.parent)
    arrays, origin = obtain(dataset, progress)
    _write(dataset, arrays, origin, out)
    log.info("wrote %d images to %s, from %s", len(arrays.images), out, origin["way"])
    return out


def read(path: Path) -> tuple[str, Arrays]:
    """Return the name and the content of the data set in a file that `fetch` wrote.

    Raises:
        DataError: it is no such file, or not a complete one.
    """
    try:
        with h5py.File(path) as file:
            if file.attrs.get("schema") != SCHEMA or not file.attrs.get("complete"):
                raise DataError(f"{path} was not written by fetch, or not to its end")
            columns = (file[name][:] for name in ("images", "labels", "split"))
            return str(file.attrs["name"]), Arrays(*columns)
    except (OSError, KeyError, TypeError) as error:
        raise DataError(f"{path} cannot be read as a data set: {_reason(error)}") from error


def _is_there(dataset: Dataset, out: Path) -> bool:
    if not out.exists():
        return False
    try:
        found, arrays = read(out)
        if found != dataset.name:
            raise DataError(f"it holds {found}")
        dataset.check(arrays)
    except DataError as error:
        raise UsageError(
            f"{out} exists and is not {dataset.name} ({error}); it was left as it is: "
            "choose another name or move it away"
        ) from error
    return True


def _write(dataset: Dataset, arrays: Arrays, origin: dict[str, Any], out: Path) -> None:
    content = _encode(dataset, arrays, origin)
    try:
        durable.write(out, content)
    except OSError as error:
        megabytes = -(-len(content) // 10**6)
        raise DataError(f"cannot write {out} of {megabytes} MB: {_reason(error)}") from error


def _encode(dataset: Dataset, arrays: Arrays, origin: dict[str, Any]) -> bytes:
    # In memory, because HDF5 that meets a full disk cannot even close its file quietly.
    memory = io.BytesIO()
    rows = min(len(arrays.images), max(1, CHUNK_BYTES // arrays.images[0].nbytes))
    with h5py.File(memory, "w") as file:
        file.create_dataset("images", data=arrays.images, chunks=(rows, *dataset.shape))
        file.create_dataset("labels", data=arrays.labels)
        file.create_dataset("split", data=arrays.split)
        file.attrs["name"] = dataset.name
        file.attrs["class_names"] = json.dumps(dataset.class_names)
        file.attrs["origin"] = json.dumps(origin)
        file.attrs["digest"] = arrays.digest
        file.attrs["schema"] = SCHEMA
        file.attrs["complete"] = True
    return memory.getvalue()


def _reason(error: Exception) -> str:
    """Return one line of what HDF5 tells in many."""
    number = getattr(error, "errno", None)
    return os.strerror(number) if number else str(error).splitlines()[0]
