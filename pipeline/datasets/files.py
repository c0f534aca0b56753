"""Files of data sets: HDF5 with images, labels and splits, which `extract` takes as a source."""

import io
import json
import os
from pathlib import Path
from typing import Any

import h5py

from features.disk import durable
from features.errors import DataError
from features.sources.hdf5_arrays import open_hdf5
from features.storage.schema import reading
from pipeline.datasets.arrays import Arrays
from pipeline.datasets.catalog import Dataset

SCHEMA = 1
_ARRAYS, _ATTRIBUTES = ("images", "labels", "split"), ("schema", "complete", "name")
CHUNK_BYTES = 2**20  # of images: a batch is read in a few chunks, a single image in one


def read(path: Path) -> tuple[str, Arrays]:
    """Return the name and the content of the data set in a file that `write` wrote.

    Raises:
        DataError: it is no such file, or not a complete one.
    """
    with reading(f"{path} cannot be read as a data set"):
        stored = open_hdf5(path, {*_ARRAYS, *_ATTRIBUTES}, ())
        file: Any = stored.file
        with file:
            schema, is_complete, name = (file.attrs[name] for name in _ATTRIBUTES)
            if schema != SCHEMA or not is_complete:
                raise DataError("it was not written by fetch, or not to its end")
            return str(name), Arrays(*(stored.arrays[array][:] for array in _ARRAYS))


def write(
    dataset: Dataset, arrays: Arrays, provenance: dict[str, Any], path: Path, scratch: Path
) -> None:
    """Write a data set, whole or not at all.

    Args:
        dataset: the data set's entry of the catalog.
        arrays: its images, labels and splits.
        provenance: where they were downloaded from.
        path: the file to write.
        scratch: a folder beside it, for the file while it is not whole.

    Raises:
        DataError: the file cannot be written, such as to a full disk.
    """
    content = _encode(dataset, arrays, provenance)
    try:
        with durable.replacing(path, scratch) as draft:
            draft.write(content)
    except OSError as error:
        megabytes = -(-len(content) // 10**6)
        raise DataError(f"cannot write {path} of {megabytes} MB: {_reason(error)}") from error


def _encode(dataset: Dataset, arrays: Arrays, provenance: dict[str, Any]) -> bytes:
    # In memory, because HDF5 that meets a full disk cannot even close its file quietly.
    memory = io.BytesIO()
    rows = min(len(arrays.images), max(1, CHUNK_BYTES // arrays.images[0].nbytes))
    with h5py.File(memory, "w") as file:
        file.create_dataset("images", data=arrays.images, chunks=(rows, *dataset.shape))
        file.create_dataset("labels", data=arrays.labels)
        file.create_dataset("split", data=arrays.split)
        file.attrs["name"] = dataset.name
        file.attrs["class_names"] = json.dumps(dataset.class_names)
        file.attrs["origin"] = json.dumps(provenance)
        file.attrs["digest"] = arrays.digest
        file.attrs["schema"] = SCHEMA
        file.attrs["complete"] = True
    return memory.getvalue()


def _reason(error: Exception) -> str:
    """Return one line of the many that HDF5 gives."""
    number = getattr(error, "errno", None)
    return os.strerror(number) if number else str(error).splitlines()[0]
